#include "experiments/analyse/subject.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "engine/folder.h"
#include "engine/npy.h"
#include "models/nets/init.h"
#include "models/training/checkpoint.h"

namespace basin {
namespace {

constexpr char measured_ending[] = ".measured.safetensors";

bool ends_with(const std::string& name, const std::string& ending) {
  return name.size() >= ending.size() &&
         name.compare(name.size() - ending.size(), ending.size(), ending) == 0;
}

/// The one file with a network in a folder, or in its folder "checkpoints".
std::string file_of(const std::string& path) {
  require(std::filesystem::exists(path), "analyse: there is no ", path);
  if (!std::filesystem::is_directory(path)) return path;
  const bool below = std::filesystem::is_directory(path + "/checkpoints");
  const std::string folder = below ? path + "/checkpoints" : path;
  std::vector<std::string> found;
  for (const std::string& name : names_in(folder).names)
    if (ends_with(name, ".safetensors") && !ends_with(name, measured_ending))
      found.push_back(folder + "/" + name);
  std::sort(found.begin(), found.end());
  require(!found.empty(), "analyse: no network (*.safetensors) is in ", folder);
  std::string all;
  for (const std::string& name : found) all += "\n  " + name;
  require(found.size() == 1, "analyse: ", folder, " has several networks; name one:", all);
  return found[0];
}

/// A dense network from its tensors. The file's line about it, "mlp 3-128-3 tanh bias f32", says
/// what tensors do not, and has to agree with them.
Mlp mlp_of(const SafeTensors& file, const std::string& path, const std::string& prefix,
           const std::string& architecture) {
  std::istringstream in(architecture);
  std::string word, activation;
  in >> word >> word >> activation;
  Mlp mlp{{}, parse_activation(activation)};
  mlp.skip = architecture.find(" skip ") != architecture.npos;
  const auto tensor = [&](const std::string& name) {
    for (const auto& [key, array] : file.tensors)
      if (key == name) return Tensor(array);
    return Tensor();
  };
  for (size_t i = 0;; ++i) {
    const std::string name = prefix + "layers." + std::to_string(i);
    const Tensor weight = tensor(name + ".weight");
    if (!weight.defined()) break;
    require(weight.rank() == 2 && is_floating(weight.dtype()), "analyse: ", path, ": ", name,
            ".weight is ", weight.array(), ", must be a matrix of floating numbers");
    mlp.layers.push_back({weight, tensor(name + ".bias")});
  }
  require(mlp.architecture() == architecture, "analyse: ", path, " says of its network \"",
          architecture, "\", but its tensors are those of \"", mlp.architecture(), "\"");
  for (const Linear& layer : mlp.layers)
    require(!layer.bias.defined() || layer.bias.shape() == Shape{layer.weight.dim(0)},
            "analyse: ", path, ": a bias ", layer.bias.array(), " beside a weight ",
            layer.weight.array());
  for (size_t i = 1; i < mlp.layers.size(); ++i)
    require(mlp.layers[i].weight.dim(1) == mlp.layers[i - 1].weight.dim(0), "analyse: ", path,
            ": layer ", i, " does not take what layer ", i - 1, " gives");
  return mlp;
}

template <class Model>
Model on_device(const Model& model, const Device& device) {
  Tensors flat = state_of(model);
  for (Tensor& t : flat) t = Tensor(copy_to(t.array(), device));
  return with_state(model, flat);
}

std::vector<Array> arrays_of(const Tensors& tensors) {
  std::vector<Array> arrays;
  for (const Tensor& t : tensors) arrays.push_back(t.array());
  return arrays;
}

DType dtype_of(const Tensors& parameters) {
  return parameters.empty() ? DType::f32 : parameters[0].dtype();
}

}  // namespace

Subject::Subject(const Mlp& mlp)
    : architecture(mlp.architecture()),
      map([mlp](const Tensor& x) { return mlp(x); }),
      codes(code_map(mlp)),
      dense(mlp),
      d(mlp.widths().front()),
      dtype(mlp.layers[0].weight.dtype()),
      parameters(arrays_of(flatten(mlp))) {}

Subject::Subject(const Net& net)
    : architecture(net.architecture()),
      map([net](const Tensor& x) {
        return reshape(net(x), {x.dim(0), -1});
      }),
      codes(code_map(net)),
      dense(as_mlp(net)),
      d(net.shape(0).size()),
      dtype(dtype_of(net.parameters())),
      parameters(arrays_of(net.parameters())) {}

Subject load_subject(const std::string& path, const Device& device) {
  const std::string file_name = file_of(path);
  const SafeTensors file = load_safetensors(file_name);
  const auto text_of = [&](const char* key) {
    const auto found = file.metadata.find(key);
    return found == file.metadata.end() ? std::string() : found->second;
  };
  const std::string architecture = text_of("architecture"), program = text_of(Net::program_key);
  require(!program.empty() || architecture.rfind("mlp ", 0) == 0, "analyse: ", file_name,
          " carries no network: neither a program (metadata \"", Net::program_key,
          "\") nor the architecture of a dense one; write it with save_model or save_net");
  const std::string prefix =
      architecture.empty() ? "" : (has_prefix(file, "best.") ? "best." : "model.");
  const auto subject = [&] {
    if (!program.empty()) {
      const bool f64 = !file.tensors.empty() && file.tensors[0].second.dtype() == DType::f64;
      const DType dtype = f64 ? DType::f64 : DType::f32;
      return Subject(parse_program(program, file.tensors, file_name, dtype, device, prefix));
    }
    return Subject(on_device(mlp_of(file, file_name, prefix, architecture), device));
  };
  Subject result = subject();
  result.name = std::filesystem::path(file_name).stem().string();
  return result;
}

Array load_examples(const std::string& path, const std::string& network, const Subject& subject,
                    const Device& device) {
  if (path == "none") return {};
  std::string file = path;
  if (path.empty()) {
    file = file_of(network);
    if (!ends_with(file, ".safetensors")) return {};
    file = file.substr(0, file.size() - std::string(".safetensors").size()) + measured_ending;
    if (!std::filesystem::exists(file)) return {};
  }
  const auto fits = [&](const Array& x) {
    return x.rank() >= 2 && x.dim(0) > 0 && x.size() / x.dim(0) == subject.d;
  };
  NamedArrays candidates;
  if (ends_with(file, ".npy"))
    candidates.emplace_back(file, load_npy(file));
  else
    candidates = load_safetensors(file).tensors;
  std::erase_if(candidates, [&](const auto& one) { return !fits(one.second); });
  NamedArrays called = candidates;
  std::erase_if(called, [](const auto& one) {
    return one.first.find("example") == one.first.npos &&
           one.first.find("training") == one.first.npos;
  });
  if (!called.empty() || path.empty()) candidates = called;
  if (path.empty() && candidates.empty()) return {};
  require(!candidates.empty(), "analyse: ", file, " has no examples for this network: rows of ",
          subject.d, " numbers are needed");
  std::string names;
  for (const auto& [name, x] : candidates) names += text("\n  ", name, " ", x);
  require(
      candidates.size() == 1, "analyse: ", file,
      " has several tensors that may be the examples; keep one, or call one \"examples\":", names);
  Array found = candidates[0].second;
  found = copy_to(cast(reshape(found, {found.dim(0), -1}), subject.dtype), device);
  require(sum(is_finite(Tensor(found))).item() == static_cast<double>(found.size()),
          "analyse: ", "the examples are not all finite");
  return found;
}

}  // namespace basin
