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

/// "mlp 3-128-3 tanh bias f32", as Mlp::architecture says it.
Mlp mlp_of(const std::string& architecture, const std::string& path) {
  std::istringstream in(architecture);
  std::string kind, widths, word;
  in >> kind >> widths;
  std::vector<std::string> rest;
  while (in >> word) rest.push_back(word);
  MlpConfig config;
  std::istringstream numbers(widths);
  for (std::string width; std::getline(numbers, width, '-');)
    config.widths.push_back(std::atoll(width.c_str()));
  require(rest.size() >= 3, "analyse: ", path, " says of its network \"", architecture,
          "\", which is not understood");
  config.activation = parse_activation(rest[0]);
  config.skip = rest[1] == "skip";
  config.bias = rest[rest.size() - 2] == "bias";
  config.dtype = rest.back() == "f64" ? DType::f64 : DType::f32;
  Mlp mlp = make_mlp(config, Key(0));
  require(mlp.architecture() == architecture, "analyse: ", path, " says of its network \"",
          architecture, "\", which is not understood");
  return mlp;
}

template <class Model>
Model on_device(const Model& model, const Device& device) {
  Tensors flat = state_of(model);
  for (Tensor& t : flat) t = Tensor(copy_to(t.array(), device));
  return with_state(model, flat);
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
      dtype(mlp.layers[0].weight.dtype()) {}

Subject::Subject(const Net& net)
    : architecture(net.architecture()),
      map([net](const Tensor& x) {
        return reshape(net(x), {x.dim(0), -1});
      }),
      codes(code_map(net)),
      dense(as_mlp(net)),
      d(net.shape(0).size()),
      dtype(dtype_of(net.parameters())) {}

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
    Mlp mlp = mlp_of(architecture, file_name);
    load_model(file_name, mlp, prefix);
    return Subject(on_device(mlp, device));
  };
  Subject result = subject();
  result.name = std::filesystem::path(file_name).stem().string();
  return result;
}

Array load_examples(const std::string& path, const std::string& network, const Subject& subject,
                    const Device& device) {
  Array found;
  const auto fits = [&](const Array& x) {
    return x.rank() >= 2 && x.dim(0) > 0 && x.size() / x.dim(0) == subject.d;
  };
  const auto search = [&](const std::string& file) {
    for (const auto& [name, x] : load_safetensors(file).tensors)
      if (!found.defined() && fits(x) &&
          (!path.empty() || name.find("example") != name.npos ||
           name.find("training") != name.npos))
        found = x;
  };
  if (path.empty()) {
    std::string beside = file_of(network);
    beside.resize(beside.size() - std::string(".safetensors").size());
    beside += measured_ending;
    if (std::filesystem::exists(beside)) search(beside);
    if (!found.defined()) return {};
  } else if (ends_with(path, ".npy")) {
    found = load_npy(path);
  } else {
    search(path);
  }
  require(found.defined() && fits(found), "analyse: ", path,
          " has no examples for this network: rows of ", subject.d, " numbers are needed");
  found = copy_to(cast(reshape(found, {found.dim(0), -1}), subject.dtype), device);
  require(sum(is_finite(Tensor(found))).item() == static_cast<double>(found.size()),
          "analyse: ", "the examples are not all finite");
  return found;
}

}  // namespace basin
