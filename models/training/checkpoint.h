// Parameters in safetensors files, by name. Training checkpoints (train.h) are such files with more
// entries, so a model can be read from either. Tensor names: "model.<parameter>",
// "best.<parameter>", "optimizer.m.<parameter>", ...
#pragma once
#include <string>
#include <vector>

#include "autograd/tree.h"
#include "engine/safetensors.h"

namespace basin {

/// Appends the tensors as prefix + name.
void add_named(NamedArrays& out, const std::string& prefix, const std::vector<std::string>& names,
               const Tensors& tensors);
/// True when the file has an entry that begins with the prefix.
bool has_prefix(const SafeTensors& file, const std::string& prefix);
/// Writes the entries prefix + name into the tensors, in place. All is checked before anything is
/// written. Errors: an entry that is missing, left over, or of another shape or dtype; they name
/// the file and the tensor.
void read_named(const SafeTensors& file, const std::string& path, const std::string& prefix,
                const std::vector<std::string>& names, const Tensors& tensors);
/// A file that training goes on from, every bit of it as it was written. Errors: as
/// load_safetensors, or it carries no digest (see safetensors.h; older versions wrote none). Of
/// bytes at fault they say what to do.
SafeTensors load_checkpoint(const std::string& path);
/// Errors: the file was written for another architecture (both are named). Either may be empty:
/// then it is not checked.
void check_architecture(const SafeTensors& file, const std::string& path,
                        const std::string& architecture);

/// model.architecture() where the model has one, otherwise "".
template <class M>
std::string architecture_of(const M& model) {
  if constexpr (requires { model.architecture(); }) {
    return model.architecture();
  } else {
    return "";
  }
}

/// The program of a network that is data, so that its file can be read without knowing it.
template <class M>
void add_program(const M& model, Metadata& metadata) {
  if constexpr (requires { model.program_text(); }) metadata[M::program_key] = model.program_text();
}

/// Gives every parameter storage of its own, so that in-place updates reach no other copy of the
/// model.
Tensors owned_copies(const Tensors& tensors);

template <class M>
void save_model(const std::string& path, const M& model, Metadata metadata = {}) {
  NamedArrays entries;
  add_named(entries, "model.", state_names(model), state_of(model));
  metadata["architecture"] = architecture_of(model);
  add_program(model, metadata);
  save_safetensors(path, entries, metadata);
}

/// Reads "model." (or "best.") parameters into a model of the same architecture.
template <class M>
void load_model(const std::string& path, M& model, const std::string& prefix = "model.") {
  const SafeTensors file = load_safetensors(path);
  check_architecture(file, path, architecture_of(model));
  const Tensors fresh = owned_copies(state_of(model));
  read_named(file, path, prefix, state_names(model), fresh);
  model = with_state(model, fresh);
}

}  // namespace basin
