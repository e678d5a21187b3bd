#include "experiments/online/pictures.h"

#include <cmath>

#include "data/batches.h"
#include "data/cifar.h"
#include "data/dead_leaves.h"
#include "data/find.h"
#include "data/textures.h"

namespace basin::online {
namespace {

constexpr int64_t side = 32, dimension = side * side;

using RowMatrixF = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using RowMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// [N, D] in [0, 1].
RowMatrix grey_pictures(const Run& run, const std::string& source, const Key& key, int64_t count) {
  if (source == "cifar") {
    const LabelledImages set = load_cifar10(run.data(), Split::train);
    const int64_t there = set.images.dim(0);
    require(count <= there, "pictures: ", count, " training images of CIFAR-10 were asked for, but the batches in ",
            data_folder(run.data()), " hold ", there, "; ask for ", there, " or fewer (--set count=", there,
            "), or put more of data_batch_1 ... data_batch_5 there");
    const Array colours = pixel_rows(contiguous(slice(set.images, 0, 0, count)), DType::f64);
    const Eigen::Map<const RowMatrix> all(colours.data<double>(), count, 3 * dimension);
    return 0.299 * all.leftCols(dimension) + 0.587 * all.middleCols(dimension, dimension) +
           0.114 * all.rightCols(dimension);
  }
  if (source != "dead-leaves" && source != "textures")
    throw unknown_name("image source", source, {"dead-leaves", "textures", "cifar"});
  const Array made = source == "textures" ? texture_images(key, count, 1, side, DType::f64)
                                          : dead_leaves_images(key, count, side, DType::f64);
  return Eigen::Map<const RowMatrix>(made.data<double>(), count, dimension);
}

}  // namespace

Pictures load_pictures(const Run& run, const std::string& source, const Key& key, int64_t count, Centre centre) {
  require(count > 1, "pictures: needs two or more, got ", count);
  RowMatrix x = grey_pictures(run, source, key, count);
  if (centre == Centre::each_pixel)
    x.rowwise() -= x.colwise().mean().eval();
  else
    x.array() -= x.mean();
  x *= 0.5 / std::sqrt(x.squaredNorm() / static_cast<double>(x.size()));

  Matrix moments = Matrix::Zero(dimension, dimension);
  moments.selfadjointView<Eigen::Lower>().rankUpdate(x.transpose(), 1 / static_cast<double>(x.rows()));
  const auto [spectrum, basis] = Eigenbasis::of(moments.selfadjointView<Eigen::Lower>());
  Pictures p;
  p.spectrum = spectrum;
  p.rows = Array({x.rows(), dimension}, DType::f32);
  Eigen::Map<RowMatrixF>(p.rows.data<float>(), x.rows(), dimension) = (x * basis).cast<float>();
  return p;
}

Pictures scaled(const Pictures& pictures, double factor) {
  Pictures p{pictures.spectrum, Array(pictures.rows.shape(), DType::f32)};
  p.spectrum.modes *= factor * factor;
  p.spectrum.rest *= factor * factor;
  const float* from = pictures.rows.data<float>();
  std::transform(from, from + p.rows.size(), p.rows.data<float>(),
                 [&](float v) { return static_cast<float>(v * factor); });
  return p;
}

double empirical_error(const Weights& w, const Pictures& pictures, const Transfer& g) {
  constexpr int64_t piece = 1000;
  const auto root = std::sqrt(static_cast<double>(pictures.spectrum.dimension));
  const Eigen::Map<const RowMatrixF> x(pictures.rows.data<float>(), pictures.count(), w.modes());
  const Eigen::MatrixXf encoder = w.encoder.cast<float>().transpose(), decoder = w.decoder.cast<float>().transpose();
  const Matrix t0 = w.decoder * w.decoder.transpose();
  double sum = 0;  // of |f(x)|^2 / D - 2 x.f(x) / D
  for (int64_t from = 0; from < x.rows(); from += piece) {
    const auto rows = x.middleRows(from, std::min(piece, x.rows() - from));
    Matrix code = (rows * encoder).cast<double>() / root;
    code.rowwise() += w.bias.transpose();
    code = code.unaryExpr([&](double field) { return g.value(field); }).eval();
    const Matrix overlap = (rows * decoder).cast<double>() / root;
    sum += ((code * t0).cwiseProduct(code) - 2 * code.cwiseProduct(overlap)).sum();
  }
  return (pictures.spectrum.trace() + sum / static_cast<double>(x.rows())) / 2;
}

}  // namespace basin::online
