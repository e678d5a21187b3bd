// Rows by index: gather and scatter_add are each other's transpose.
#include "autograd/op.h"
#include "engine/allocator.h"

namespace basin {
namespace {

class Gather final : public LinearOp {
 public:
  Gather(const Array& index, int64_t rows) : index_(index), rows_(rows) {}
  const char* name() const override { return "gather"; }
  Ref<const Op> clone() const override { return Ref<const Op>(new Gather(*this)); }
  Array evaluate(Inputs in) const override {
    const Array x = contiguous(in[0].array());
    Shape shape = x.shape();
    shape[0] = index_.size();
    Array out(shape, x.dtype(), x.device());
    x.device().backend().gather(out.view(), x.view(), index_.view());
    return out;
  }
  Tensor transpose(const Tensor& ct) const override { return scatter_add(ct, index_, rows_); }

 private:
  Array index_;
  int64_t rows_;
};

class ScatterAdd final : public LinearOp {
 public:
  ScatterAdd(const Array& index, int64_t rows) : index_(index), rows_(rows) {}
  const char* name() const override { return "scatter_add"; }
  Ref<const Op> clone() const override { return Ref<const Op>(new ScatterAdd(*this)); }
  Array evaluate(Inputs in) const override {
    const Array x = contiguous(in[0].array());
    Shape shape = x.shape();
    shape[0] = rows_;
    Array out = zeros(shape, x.dtype(), x.device());
    x.device().backend().scatter_add(out.view(), x.view(), index_.view());
    return out;
  }
  Tensor transpose(const Tensor& ct) const override { return gather(ct, index_); }

 private:
  Array index_;
  int64_t rows_;
};

/// The index as contiguous i32 [N] on x's device, its entries checked while they are on the host;
/// a step that is being recorded cannot look, and has run before.
Array checked_index(const char* name, const Tensor& x, const Array& index, int64_t rows) {
  require(x.defined() && x.rank() >= 1, name, ": needs at least one axis, got ", x.array());
  require(index.defined() && index.dtype() == DType::i32 && index.rank() == 1, name,
          ": the index must be i32[N], got ", index);
  if (recording()) return copy_of(copy_to(index, x.device()));
  const Array dense = copy_of(index);  // our own: the caller may overwrite his before the pullback
  const Array host = copy_to(dense, Device());
  const int32_t* entries = host.data<int32_t>();
  for (int64_t i = 0; i < host.size(); ++i)
    require(entries[i] >= 0 && entries[i] < rows, name, ": index[", i, "] = ", entries[i],
            " is outside 0 .. ", rows - 1, " (x is ", x.array(), ")");
  return copy_to(dense, x.device());
}

}  // namespace

Tensor gather(const Tensor& x, const Array& index) {
  const int64_t rows = x.rank() > 0 ? x.dim(0) : 0;
  return perform(Gather(checked_index("gather", x, index, rows), rows), {x});
}

Tensor scatter_add(const Tensor& x, const Array& index, int64_t rows) {
  check_floating("scatter_add", x.array());
  require(rows >= 0, "scatter_add: rows must not be negative, got ", rows);
  const Array checked = checked_index("scatter_add", x, index, rows);
  require(x.dim(0) == index.size(), "scatter_add: ", x.array(), " has not one row per index ",
          index);
  return perform(ScatterAdd(checked, rows), {x});
}

std::vector<Sample> gather_samples() {
  const auto call = [](const Tensors& in) {
    return gather(in[0], from_vector<int32_t>({2, 0, 2, 1}, {4}));
  };
  return {{"rows, one twice", call, {{3, 5}}}, {"outside", call, {{2, 5}}, -2, 2, "is outside"}};
}

std::vector<Sample> scatter_add_samples() {
  const auto call = [](const Tensors& in) {
    return scatter_add(in[0], from_vector<int32_t>({2, 0, 2}, {3}), 4);
  };
  return {{"rows, one twice, one never", call, {{3, 5}}},
          {"misfit", call, {{2, 5}}, -2, 2, "one row per index"}};
}

}  // namespace basin
