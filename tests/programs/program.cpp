// Running and printing random programs.
#include "tests/programs/program.h"

#include <algorithm>

namespace basin::programs {

uint64_t Dice::next() {
  state_ += 0x9E3779B97F4A7C15u;
  uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

Array draw(Dice& dice, const Shape& shape, double low, double high) {
  std::vector<double> values(static_cast<size_t>(shape.size()));
  for (double& value : values) value = dice.real(low, high);
  return from_vector(values, shape);
}

Tensor Context::constant(const Array& value) const {
  return copy_to(cast(Tensor(value), dtype), device);
}

void Context::note_number(uint64_t number) {
  if (sides) *sides = (*sides ^ number) * 0x100000001B3u + 1;
}

void Context::note(const Tensor& x, double kink) {
  if (!sides) return;
  const Array values = cast(copy_to(x.array(), Device()), DType::f64);
  for (const double v : values.to_vector<double>()) note_number(v > kink ? 3 : v < kink ? 5 : 7);
}

Tensor Context::stopped(const Tensor& x) {
  if (replay) return Tensor((*replay)[replayed++]);
  const Tensor y = stop_gradient(x);
  if (record) record->push_back(y.array());
  return y;
}

Tensor Context::disturbed(const Tensor& x) {
  if (jitter == 0 || x.size() == 0 || !is_floating(x.dtype())) return x;
  std::vector<double> factors(static_cast<size_t>(x.size()));
  for (double& factor : factors) factor = noise.chance(0.5) ? 1 + jitter : 1 - jitter;
  return x * copy_to(cast(Tensor(from_vector(factors, x.shape())), x.dtype()), x.device());
}

Tensor run(const Program& program, Context& context, const Tensors& arguments, int which,
           bool lazily) {
  const std::vector<Step>& steps = program.steps;
  Tensors values(steps.size());
  const auto evaluate = [&](size_t i) {
    const Step& step = steps[i];
    Tensors in;
    for (const int source : step.in) in.push_back(values[static_cast<size_t>(source)]);
    values[i] = step.call ? context.disturbed(step.call(context, in))
                          : arguments[static_cast<size_t>(step.argument)];
  };
  if (!lazily) {
    for (size_t i = 0; i <= static_cast<size_t>(which); ++i) evaluate(i);
    return values[static_cast<size_t>(which)];
  }
  // depth first, the last operand first
  const std::function<void(size_t)> need = [&](size_t i) {
    if (values[i].defined()) return;
    for (auto source = steps[i].in.rbegin(); source != steps[i].in.rend(); ++source)
      need(static_cast<size_t>(*source));
    evaluate(i);
  };
  need(static_cast<size_t>(which));
  return values[static_cast<size_t>(which)];
}

std::vector<bool> needed(const Program& program) {
  std::vector<bool> is(program.steps.size());
  if (program.result >= 0) is[static_cast<size_t>(program.result)] = true;
  if (program.vector >= 0) is[static_cast<size_t>(program.vector)] = true;
  for (size_t i = program.steps.size(); i-- > 0;)
    if (is[i])
      for (const int source : program.steps[i].in) is[static_cast<size_t>(source)] = true;
  return is;
}

std::string describe(const Program& program, const std::string& indent) {
  const std::vector<bool> wanted = needed(program);
  std::string out;
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const Step& step = program.steps[i];
    if (!wanted[i]) continue;
    std::string operands;
    for (const int source : step.in) operands += text(operands.empty() ? "t" : ", t", source);
    out += text(indent, "t", i, " ", step.value, " = ", step.line,
                operands.empty() ? "" : "  of " + operands, "\n");
    if (step.body) out += describe(*step.body, indent + "    ");
  }
  return out + text(indent, "-> t", program.result, "\n");
}

void Counts::add_op(const std::string& name) {
  for (auto& [known, count] : ops)
    if (known == name) {
      ++count;
      return;
    }
  ops.emplace_back(name, 1);
}

Program shrink(const Program& program, const std::function<bool(const Program&)>& fails) {
  Program smaller = program;
  for (size_t i = program.steps.size(); i-- > 0;) {
    Step& step = smaller.steps[i];
    if (!step.call || step.in.empty() || static_cast<int>(i) == smaller.result) continue;
    const Step before = step;
    const Array value = step.value;
    step = {"constant", "constant",
            {},         [value](Context& c, const Tensors&) { return c.constant(value); },
            -1,         nullptr,
            value};
    if (!fails(smaller)) step = before;
  }
  return smaller;
}

}  // namespace basin::programs
