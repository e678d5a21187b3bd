#include "models/training/checkpoint.h"

#include <algorithm>

namespace basin {

void add_named(NamedArrays& out, const std::string& prefix, const std::vector<std::string>& names,
               const Tensors& tensors) {
  for (size_t i = 0; i < tensors.size(); ++i)
    out.emplace_back(prefix + names[i], tensors[i].array());
}

bool has_prefix(const SafeTensors& file, const std::string& prefix) {
  return std::any_of(file.tensors.begin(), file.tensors.end(),
                     [&](const auto& entry) { return entry.first.rfind(prefix, 0) == 0; });
}

void read_named(const SafeTensors& file, const std::string& path, const std::string& prefix,
                const std::vector<std::string>& names, const Tensors& tensors) {
  std::vector<const Array*> found(names.size(), nullptr);
  for (const auto& [name, array] : file.tensors) {
    if (name.rfind(prefix, 0) != 0) continue;
    const auto at = std::find(names.begin(), names.end(), name.substr(prefix.size()));
    require(at != names.end(), "checkpoint ", path, ": holds ", name, " ", array,
            ", which this model does not have");
    found[static_cast<size_t>(at - names.begin())] = &array;
  }
  for (size_t i = 0; i < names.size(); ++i) {
    require(found[i], "checkpoint ", path, ": has no tensor ", prefix, names[i],
            "; it belongs to another model");
    const Array& wanted = tensors[i].array();
    require(found[i]->shape() == wanted.shape() && found[i]->dtype() == wanted.dtype(),
            "checkpoint ", path, ": ", prefix, names[i], " is ", *found[i], ", this model needs ",
            wanted);
  }
  for (size_t i = 0; i < names.size(); ++i)
    assign(tensors[i].array(), copy_to(*found[i], tensors[i].array().device()));
}

SafeTensors load_checkpoint(const std::string& path) {
  constexpr char mend[] =
      "; resume from another checkpoint, or delete this one to begin its training again";
  // A file that cannot be read, or for which there is no memory, may be good: keep it.
  const FileSource source(path);
  try {
    SafeTensors file = load_safetensors(source, path);
    require(file.sealed, "it carries no digest (", digest_key,
            " in its metadata), so that nobody knows whether it is whole; it is damaged or of an "
            "older version");
    return file;
  } catch (const Error& e) {
    const bool refused = e.fault() == Fault::input;
    throw Error(text("checkpoint ", path, ": ", e.what(), refused ? mend : ""), e.fault());
  }
}

void check_architecture(const SafeTensors& file, const std::string& path,
                        const std::string& architecture) {
  const auto entry = file.metadata.find("architecture");
  if (entry == file.metadata.end() || entry->second.empty() || architecture.empty()) return;
  require(entry->second == architecture, "checkpoint ", path, ": written for \"", entry->second,
          "\", this model is \"", architecture,
          "\"; use the settings it was trained with, or another file");
}

Tensors owned_copies(const Tensors& tensors) {
  Tensors result;
  for (const Tensor& t : tensors) result.push_back(copy_of(t.array()));
  return result;
}

}  // namespace basin
