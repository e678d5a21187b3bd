#include "models/nets/conv_net.h"

#include <cstdio>

namespace basin {
namespace {

using Kind = StageConfig::Kind;

Window window_of(const StageConfig& s) {
  return {{s.stride, s.stride}, {s.padding, s.padding}};
}

int64_t numbers(const Shape& image) {
  return image.rank == 0 ? 0 : image.size();
}

/// "conv 3x3 s2 8", "up 2", "dense 128x1x1".
std::string name_of(const StageConfig& s) {
  std::string name;
  if (s.kind == Kind::upsample) {
    name = text("up ", s.stride);
  } else if (s.kind == Kind::dense) {
    name = text("dense ", s.image[0], "x", s.image[1], "x", s.image[2]);
  } else {
    name = text(s.kind == Kind::conv ? "conv " : "conv_transpose ", s.kernel, "x", s.kernel, " ",
                s.channels);
    if (s.stride > 1) name += text(" stride ", s.stride);
    if (s.padding != 1) name += text(" padding ", s.padding);
    if (s.output_padding > 0) name += text(" output padding ", s.output_padding);
  }
  if (s.concat >= 0) name += text(" beside ", s.concat);
  if (s.add >= 0) name += text(" plus ", s.add);
  return name + (s.activate || s.kind == Kind::upsample ? "" : " linear");
}

std::string image_text(const Shape& s) {
  return text(s[0], "x", s[1], "x", s[2]);
}

/// The shape that a stage gives. Errors name the stage.
Shape output_of(const StageConfig& s, const Shape& in, const std::string& where) {
  if (s.kind == Kind::dense) {
    require(s.image.rank == 3 && numbers(s.image) > 0, where,
            ": a dense stage needs the image [channels, height, ", "width] that it gives, got ",
            s.image);
    return s.image;
  }
  require(s.stride >= 1, where, ": stride or factor ", s.stride, " is below 1");
  if (s.kind == Kind::upsample) return {in[0], in[1] * s.stride, in[2] * s.stride};
  require(s.channels >= 1 && s.kernel >= 1 && s.padding >= 0, where,
          ": needs at least one channel, a kernel of at ",
          "least 1 and padding of at least 0, got ", s.channels, ", ", s.kernel, " and ",
          s.padding);
  Shape out{s.channels};
  for (int i = 1; i < 3; ++i) {
    if (s.kind == Kind::conv) {
      require(in[i] % s.stride == 0, where, ": stride ", s.stride, " does not divide the side ",
              in[i], " of the image ", in,
              "; crop or scale the images so that every stride divides their sides");
      require(s.kernel <= in[i] + 2 * s.padding, where, ": the kernel ", s.kernel,
              " is larger than the side ", in[i], " of the image ", in, " with padding ", s.padding,
              "; use a smaller kernel or fewer strides");
      out.push_back((in[i] + 2 * s.padding - s.kernel) / s.stride + 1);
    } else {
      require(s.output_padding >= 0 && s.output_padding < s.stride, where, ": output padding ",
              s.output_padding, " must be at least 0 and below the stride ", s.stride);
      out.push_back((in[i] - 1) * s.stride - 2 * s.padding + s.kernel + s.output_padding);
    }
    require(out[i] >= 1, where, ": nothing is left of the image ", in);
  }
  return out;
}

/// Concatenation in, addition before the activation out.
Tensor evaluate(const Stage& stage, const Tensor& x, const Tensor& added,
                const Activation& activation) {
  const StageConfig& s = stage.config;
  const Activation after = s.activate ? activation : Activation{},
                   fused = added.defined() ? Activation{} : after;
  Tensor y;
  if (s.kind == Kind::upsample) {
    y = upsample_nearest(x, s.stride);
    if (!added.defined()) y = apply_activation(fused, y);
  } else if (s.kind == Kind::conv) {
    y = conv2d(x, stage.weight, stage.bias, fused, window_of(s));
  } else if (s.kind == Kind::conv_transpose) {
    y = conv_transpose2d(x, stage.weight, stage.bias, fused, window_of(s),
                         {s.output_padding, s.output_padding});
  } else {
    y = linear(reshape(x, {x.dim(0), -1}), stage.weight, stage.bias, fused);
    y = reshape(y, {x.dim(0), stage.out[0], stage.out[1], stage.out[2]});
  }
  return added.defined() ? apply_activation(after, y + added) : y;
}

Stage make_stage(const StageConfig& s, const Shape& in, const ConvNetConfig& config, const Key& key,
                 const std::string& name) {
  Stage stage{s, in, output_of(s, in, "conv net: " + name + " (" + name_of(s) + ")"), {}, {}};
  if (s.kind == Kind::upsample) return stage;
  Shape shape{numbers(stage.out), numbers(in)};
  if (s.kind == Kind::conv) shape = {s.channels, in[0], s.kernel, s.kernel};
  if (s.kind == Kind::conv_transpose) shape = {in[0], s.channels, s.kernel, s.kernel};
  const Fan fan = fan_of(shape);
  stage.weight =
      config.init.weight(key.at(name + ".weight"), shape, fan, config.dtype, config.device);
  const int64_t biases = s.kind == Kind::dense ? numbers(stage.out) : s.channels;
  if (config.bias)
    stage.bias = config.init.bias(key.at(name + ".bias"), biases, fan, config.dtype, config.device);
  return stage;
}

}  // namespace

Tensor ConvNet::through(const Tensor& x, size_t first, size_t last) const {
  const Shape& in = shape_at(first);
  const bool rows = x.rank() == 2;
  require((rows && x.dim(1) == numbers(in)) ||
              (x.rank() == 4 && x.dim(1) == in[0] && x.dim(2) == in[1] && x.dim(3) == in[2]),
          "conv net: x ", x.array(), " does not fit; needs images [batch, ", in[0], ", ", in[1],
          ", ", in[2], "] or rows [batch, ", numbers(in), "]");
  std::vector<int64_t> last_use(last + 1,
                                0);  // so that values without a later reader are freed on the way
  for (size_t i = first; i < last; ++i)
    for (int64_t value : {static_cast<int64_t>(i), stages[i].config.add, stages[i].config.concat})
      if (value >= 0) last_use[static_cast<size_t>(value)] = static_cast<int64_t>(i);
  std::vector<Tensor> values(last + 1);
  values[first] = rows ? reshape(x, {x.dim(0), in[0], in[1], in[2]}) : x;
  for (size_t i = first; i < last; ++i) {
    const StageConfig& s = stages[i].config;
    Tensor h = values[i];
    if (s.concat >= 0) h = concat(Tensors{h, values[static_cast<size_t>(s.concat)]}, 1);
    values[i + 1] = evaluate(
        stages[i], h, s.add >= 0 ? values[static_cast<size_t>(s.add)] : Tensor(), activation);
    for (size_t v = first; v <= i; ++v)
      if (last_use[v] <= static_cast<int64_t>(i)) values[v] = Tensor();
  }
  return rows ? reshape(values[last], {x.dim(0), -1}) : values[last];
}

Tensor ConvNet::operator()(const Tensor& x) const {
  return through(x, 0, stages.size());
}

size_t ConvNet::bottleneck() const {
  size_t best = 0;
  for (size_t v = 1; v < stages.size(); ++v) {
    bool crossed = false;
    for (size_t i = v; i < stages.size(); ++i)
      for (int64_t from : {stages[i].config.add, stages[i].config.concat})
        crossed |= from >= 0 && static_cast<size_t>(from) < v;
    if (!crossed && numbers(shape_at(v)) < numbers(shape_at(best))) best = v;
  }
  return best;
}

std::string ConvNet::table() const {
  std::string result;
  const auto line = [&](const std::string& what, const std::string& shape, int64_t parameters) {
    char buffer[160];
    std::snprintf(buffer, sizeof buffer, "%-44s %14s %12lld\n", what.c_str(), shape.c_str(),
                  static_cast<long long>(parameters));
    result += buffer;
  };
  line("input", image_text(image), 0);
  for (const Stage& s : stages) line(name_of(s.config), image_text(s.out), parameter_count(s));
  line("all, activation " + to_string(activation), "", parameter_count(*this));
  return result;
}

std::string ConvNet::architecture() const {
  std::string result = "conv net " + image_text(image);
  for (const Stage& s : stages) result += ", " + name_of(s.config);
  const Tensors parameters = flatten(*this);
  result += "; " + to_string(activation);
  for (const Stage& s : stages)
    if (s.weight.defined()) {
      result += s.bias.defined() ? " bias" : " no_bias";
      break;
    }
  return parameters.empty() ? result : result + " " + basin::name_of(parameters[0].dtype());
}

ConvNet make_conv_net(const ConvNetConfig& config, const Key& key) {
  require(config.image.rank == 3 && numbers(config.image) > 0,
          "conv net: the image must be [channels, height, width], got ", config.image);
  require(!config.stages.empty(), "conv net: needs at least one stage");
  require(is_floating(config.dtype), "conv net: dtype ", config.dtype,
          " is not floating; use f32 or f64");
  ConvNet net{config.image, {}, config.activation};
  for (size_t i = 0; i < config.stages.size(); ++i) {
    const StageConfig& s = config.stages[i];
    const std::string name = "stages." + std::to_string(i);
    for (int64_t from : {s.add, s.concat})
      require(from <= static_cast<int64_t>(i), "conv net: ", name, " (", name_of(s),
              ") reads value ", from,
              ", which comes later; 0 is the input, i + 1 what stage i gives");
    Shape in = net.shape_at(i);
    if (s.concat >= 0) {
      const Shape& beside = net.shape_at(static_cast<size_t>(s.concat));
      require(beside[1] == in[1] && beside[2] == in[2], "conv net: ", name, " (", name_of(s),
              ") cannot concatenate ", beside, " to ", in, ": heights and widths differ");
      in[0] += beside[0];
    }
    net.stages.push_back(make_stage(s, in, config, key, name));
    if (s.add < 0) continue;
    const Shape &added = net.shape_at(static_cast<size_t>(s.add)), &out = net.stages.back().out;
    require(added == out, "conv net: ", name, " (", name_of(s), ") cannot add ", added, " to ", out,
            ": the shapes must be equal");
  }
  return net;
}

}  // namespace basin
