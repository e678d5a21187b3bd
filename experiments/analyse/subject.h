// A trained network, read from a file, as a dynamical system.
#pragma once
#include <optional>
#include <string>

#include "models/dynamics/code_map.h"

namespace basin {

struct Subject {
  std::string name;          // of its file, without the folder and the ending
  std::string architecture;  // in one line
  Map map;                   // rows [B, d], on `device`, in the dtype of the file
  CodeMap codes;             // in f64
  std::optional<Mlp> dense;  // the network, where it is a chain of dense layers
  int64_t d = 0;
  DType dtype = DType::f32;
  std::vector<Array> parameters;
  Array examples;  // [n, d], or not defined

  explicit Subject(const Mlp& mlp);
  explicit Subject(const Net& net);
};

/// The network of `path`: what a training, save_model or save_net wrote (the parameters of the
/// lowest loss where both are there), or a folder with one such file. Errors: no file, several (the
/// message lists them), a file without a network, one whose outputs are not as many as its inputs.
Subject load_subject(const std::string& path, const Device& device);

/// The examples a network was trained on: `path` is a .npy file, or a safetensors file with one
/// tensor of such rows, or one called "...example..." or "...training..."; "" stands for what an
/// experiment measured beside the network, which may be nothing, and "none" for nothing. In the
/// dtype of the subject, on `device`. Errors: no such tensor, or several; not finite.
Array load_examples(const std::string& path, const std::string& network, const Subject& subject,
                    const Device& device);

}  // namespace basin
