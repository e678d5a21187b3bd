#include "experiments/online/eigen_images.h"

#include <algorithm>
#include <cmath>

#include "data/find.h"
#include "data/idx.h"
#include "engine/error.h"

namespace basin::online {
namespace {

using Floats = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::Map<const Floats> map_rows(const Array& rows) {
  return {rows.data<float>(), rows.dim(0), rows.dim(1)};
}

}  // namespace

Array EigenImages::pictures(const Matrix& rows_in_basis) const {
  const Floats pixels = ((rows_in_basis * basis.transpose() * sd).array() + mean).cast<float>();
  const std::vector<float> values(pixels.data(), pixels.data() + pixels.size());
  return from_vector(values, {pixels.rows(), 1, side, side});
}

std::optional<EigenImages> fashion_images(const std::string& data, int64_t count, int64_t others) {
  const std::optional<std::string> path = try_data_file(data, "fashion-mnist", "t10k-images-idx3-ubyte");
  if (!path) return std::nullopt;
  const Array all = load_idx(*path);
  require(all.rank() == 3 && all.dim(1) == all.dim(2), *path, ": no square images, got ", all);
  require(count > 1 && others > 0, "Fashion-MNIST: needs two images or more to train on and others, got ", count,
          " and ", others);
  require(count + others <= all.dim(0), "Fashion-MNIST: ", count, " images to train on and ", others,
          " others were asked for, but ", *path, " holds ", all.dim(0), "; train on ",
          std::max<int64_t>(all.dim(0) - others, 0), " or fewer, or get the whole file");
  EigenImages images;
  images.side = all.dim(1);
  const int64_t d = images.side * images.side, n = count + others;
  const uint8_t* bytes = all.data<uint8_t>();
  Floats pixels = Eigen::Map<const Eigen::Matrix<uint8_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(bytes, n, d)
                      .cast<float>() /
                  255.0F;
  images.mean = pixels.topRows(count).cast<double>().mean();
  pixels.array() -= static_cast<float>(images.mean);
  images.sd = std::sqrt(pixels.topRows(count).cast<double>().array().square().mean());
  pixels /= static_cast<float>(images.sd);

  Matrix moments = Matrix::Zero(d, d);
  moments.selfadjointView<Eigen::Lower>().rankUpdate(pixels.topRows(count).cast<double>().transpose(),
                                                     1 / static_cast<double>(count));
  Eigenbasis own = Eigenbasis::of(moments.selfadjointView<Eigen::Lower>());
  images.spectrum = own.spectrum;
  images.basis = std::move(own.vectors);
  const Floats rotated = pixels * images.basis.cast<float>();
  images.rows = from_vector(std::vector<float>(rotated.data(), rotated.data() + count * d), {count, d});
  images.others = rotated.bottomRows(others).cast<double>();
  return images;
}

Matrix partial_reconstruction(const Weights& w, const Transfer& g, const Matrix& inputs, int64_t units) {
  const double root = std::sqrt(static_cast<double>(inputs.cols()));
  Matrix hidden = inputs * w.encoder.topRows(units).transpose() / root;
  hidden.rowwise() += w.bias.head(units).transpose();
  return root * hidden.unaryExpr([&](double x) { return g.value(x); }) * w.decoder.topRows(units);
}

std::vector<double> partial_errors(const Weights& w, const Transfer& g, const EigenImages& images,
                                   const std::vector<int64_t>& units) {
  std::vector<double> errors(units.size());
  const auto all = map_rows(images.rows);
  for (int64_t from = 0, piece = 1000; from < all.rows(); from += piece) {
    const Matrix inputs = all.middleRows(from, std::min(piece, all.rows() - from)).cast<double>();
    for (size_t i = 0; i < units.size(); ++i)
      errors[i] += (inputs - partial_reconstruction(w, g, inputs, units[i])).squaredNorm();
  }
  for (double& error : errors) error /= 2 * static_cast<double>(all.rows() * all.cols());
  return errors;
}

}  // namespace basin::online
