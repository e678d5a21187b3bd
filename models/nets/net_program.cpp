// The program of a network as JSON, and the files that carry one.
#include <nlohmann/json.hpp>

#include "models/nets/init.h"
#include "models/nets/net.h"

namespace basin {
namespace {

using Json = nlohmann::json;             // its objects are found in logarithmic time
using Ordered = nlohmann::ordered_json;  // for writing: fields as a person reads them

constexpr int version = 1;
constexpr size_t most_nodes = 1'000'000, largest_program = 64'000'000;

/// A place in a program, and how its fields are read; errors name the place.
class Place {
 public:
  Place(const Json& json, std::string where) : json_(json), where_(std::move(where)) {}

  const std::string& where() const { return where_; }
  bool has(const char* field) const { return json_.contains(field); }
  Place at(const char* field) const {
    require(json_.is_object(), where_, ": must be an object { }");
    require(json_.contains(field), where_, ": the field \"", field, "\" is missing");
    return {json_.at(field), where_ + "." + field};
  }
  /// Errors: a field that is none of these.
  void only(std::initializer_list<const char*> fields) const {
    require(json_.is_object(), where_, ": must be an object { }");
    for (const auto& entry : json_.items()) {
      bool known = false;
      for (const char* field : fields) known = known || entry.key() == field;
      require(known, where_, ": the field \"", entry.key(), "\" is not known");
    }
  }
  std::string word() const {
    require(json_.is_string(), where_, ": must be a string");
    return json_.get<std::string>();
  }
  double number() const {
    require(json_.is_number(), where_, ": must be a number");
    return json_.get<double>();
  }
  int64_t whole() const {
    const double x = number();
    require(x >= -0x1p52 && x <= 0x1p52 && x == static_cast<double>(static_cast<int64_t>(x)),
            where_, ": must be a whole number, not ", x);
    return static_cast<int64_t>(x);
  }
  /// f(element) for each element of a list, of which there are at most `most`.
  template <class F>
  void each(size_t most, F&& f) const {
    require(json_.is_array(), where_, ": must be a list [ ]");
    require(json_.size() <= most, where_, ": has ", json_.size(), " elements; at most ", most);
    for (size_t i = 0; i < json_.size(); ++i) f(Place(json_[i], text(where_, "[", i, "]")));
  }
  template <class F>
  void each_field(F&& f) const {
    require(json_.is_object(), where_, ": must be an object { }");
    for (const auto& entry : json_.items())
      f(entry.key(), Place(entry.value(), where_ + "." + entry.key()));
  }

 private:
  const Json& json_;
  std::string where_;
};

Shape shape_at(const Place& place) {
  Shape shape;
  place.each(max_rank, [&](const Place& side) { shape.push_back(side.whole()); });
  return shape;
}

/// Finds each parameter once; the same name again is the same parameter.
struct Parameters {
  std::vector<std::string>& names;
  Tensors tensors;
  DType dtype;
  const Device& device;
  std::map<std::string, const Array*> known;
  std::string prefix;  // "model." in the checkpoint of a training
  std::map<std::string, int64_t> places;

  int64_t place_of(const std::string& name, const std::string& where) {
    const auto before = places.find(name);
    if (before != places.end()) return before->second;
    const auto at = known.find(prefix + name);
    require(at != known.end(), where, ": the file has no tensor \"", prefix, name, "\"");
    require(is_floating(at->second->dtype()), where, ": the tensor \"", name, "\" is ",
            at->second->dtype(), "; a parameter must be f32 or f64");
    const auto place = static_cast<int64_t>(names.size());
    names.push_back(name);
    tensors.push_back(copy_to(cast(*at->second, dtype), device));
    places[name] = place;
    return place;
  }
};

Net::Node node_at(const Place& place, Parameters& parameters) {
  place.only({"op", "inputs", "parameters", "attributes", "activation"});
  Net::Node node;
  node.op = place.at("op").word();
  place.at("inputs").each(64, [&](const Place& v) { node.inputs.push_back(v.whole()); });
  if (place.has("parameters"))
    place.at("parameters").each(64, [&](const Place& p) {
      node.parameters.push_back(parameters.place_of(p.word(), p.where()));
    });
  if (place.has("attributes"))
    place.at("attributes").each_field([&](const std::string& name, const Place& value) {
      value.each(64, [&](const Place& x) { node.attributes[name].push_back(x.number()); });
    });
  if (place.has("activation")) {
    const Place activation = place.at("activation");
    const std::string word = activation.word();
    try {
      node.activation = parse_activation(word);
    } catch (const Error& error) {
      throw Error(activation.where() + ": " + error.what(), error.fault());
    }
  }
  return node;
}

}  // namespace

std::string Net::program_text() const {
  Ordered nodes_of = Ordered::array();
  for (const Node& node : program().nodes) {
    Ordered json;
    json["op"] = node.op;
    json["inputs"] = node.inputs;
    for (const int64_t p : node.parameters)
      json["parameters"].push_back(program().parameters[static_cast<size_t>(p)]);
    for (const auto& [name, numbers] : node.attributes) json["attributes"][name] = numbers;
    if (node.activation.op != Unary::identity) json["activation"] = to_string(node.activation);
    nodes_of.push_back(json);
  }
  Ordered json;
  json["version"] = version;
  json["input"] = std::vector<int64_t>(shape(0).begin(), shape(0).end());
  json["nodes"] = nodes_of;
  json["values"] = program().values;
  return json.dump();
}

Net parse_program(const std::string& program, const NamedArrays& tensors, const std::string& name,
                  DType dtype, const Device& device, const std::string& prefix) try {
  require(program.size() <= largest_program, "program of ", name, ": has ", program.size(),
          " bytes; at most ", largest_program);
  const Json json = Json::parse(program);
  const Place all(json, "program of " + name);
  all.only({"version", "input", "nodes", "values"});
  const int64_t written = all.at("version").whole();
  require(written == version, all.where(), ": has version ", written, "; this build reads ",
          version);
  Net::Program read;
  read.input = shape_at(all.at("input"));
  Parameters parameters{read.parameters, {}, dtype, device, {}, prefix, {}};
  for (const auto& [tensor, array] : tensors) parameters.known[tensor] = &array;
  all.at("nodes").each(
      most_nodes, [&](const Place& place) { read.nodes.push_back(node_at(place, parameters)); });
  all.at("values").each_field(
      [&](const std::string& value, const Place& place) { read.values[value] = place.whole(); });
  try {
    return Net(std::move(read), std::move(parameters.tensors));
  } catch (const Error& error) {
    throw Error("program of " + name + ": " + error.what(), error.fault());
  }
} catch (const nlohmann::json::exception& error) {
  throw Error(
      text("program of ", name, ": broken JSON: ", std::string(error.what()).substr(0, 300)));
}

void save_net(const std::string& path, const Net& net, Metadata metadata) {
  NamedArrays tensors;
  for (size_t i = 0; i < net.parameters().size(); ++i)
    tensors.emplace_back(net.program().parameters[i], net.parameters()[i].array());
  metadata[Net::program_key] = net.program_text();
  save_safetensors(path, tensors, metadata);
}

Net load_net(const std::string& path, DType dtype, const Device& device) {
  const SafeTensors file = load_safetensors(path);
  const auto program = file.metadata.find(Net::program_key);
  require(program != file.metadata.end(), "net: ", path, " carries no program (metadata \"",
          Net::program_key,
          "\"); save it with save_net, or build the network and load its parameters");
  // save_model and trainings say which architecture their "model." is
  const bool checkpoint = file.metadata.count("architecture") > 0;
  return parse_program(program->second, file.tensors, path, dtype, device,
                       checkpoint ? "model." : "");
}

}  // namespace basin
