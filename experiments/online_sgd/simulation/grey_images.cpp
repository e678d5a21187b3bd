#include "experiments/online_sgd/simulation/grey_images.h"

#include <algorithm>
#include <cmath>

#include "data/batches.h"
#include "data/cifar.h"
#include "data/dead_leaves.h"
#include "data/find.h"
#include "data/idx.h"
#include "data/textures.h"

namespace basin::online {
namespace {

template <class T>
using RowMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// [N, 32^2] in [0, 1].
RowMatrix<double> small_images(const Run& run, const std::string& source, const Key& key,
                               int64_t count) {
  constexpr int64_t side = 32;
  constexpr int64_t d = side * side;
  if (source == "cifar") {
    const LabelledImages set = load_cifar10(run.data(), Split::train);
    const int64_t there = set.images.dim(0);
    require(count <= there, "images: ", count,
            " training images of CIFAR-10 were asked for, but the batches in ",
            data_folder(run.data().path), " hold ", there, "; ask for ", there,
            " or fewer (--set count=", there,
            "), or put more of data_batch_1 ... data_batch_5 there");
    const Array colours = pixel_rows(contiguous(slice(set.images, 0, 0, count)), DType::f64);
    const Eigen::Map<const RowMatrix<double>> all(colours.data<double>(), count, 3 * d);
    return 0.299 * all.leftCols(d) + 0.587 * all.middleCols(d, d) + 0.114 * all.rightCols(d);
  }
  if (source != "dead-leaves" && source != "textures")
    throw unknown_name("image source", source, {"dead-leaves", "textures", "cifar"});
  const Array made = source == "textures" ? texture_images(key, count, 1, side, DType::f64)
                                          : dead_leaves_images(key, count, side, DType::f64);
  return Eigen::Map<const RowMatrix<double>>(made.data<double>(), count, d);
}

/// Mean, standard deviation and eigenbasis are those of the first `count` rows of x; the others
/// come behind them.
GreyImages in_own_basis(RowMatrix<double> x, int64_t count, Centre centre, double deviation) {
  const int64_t d = x.cols();
  GreyImages images;
  images.side = std::llround(std::sqrt(static_cast<double>(d)));
  const auto own = x.topRows(count);
  if (centre == Centre::each_pixel)
    images.mean = own.colwise().mean().transpose();
  else
    images.mean = Vector::Constant(d, own.mean());
  x.rowwise() -= images.mean.transpose();
  const double sd = std::sqrt(own.squaredNorm() / static_cast<double>(own.size()));
  images.scale = sd / deviation;
  x *= deviation / sd;

  Matrix moments = Matrix::Zero(d, d);
  moments.selfadjointView<Eigen::Lower>().rankUpdate(own.transpose());
  moments /= static_cast<double>(count);
  Eigenbasis eigen = Eigenbasis::of(moments.selfadjointView<Eigen::Lower>());
  images.spectrum = eigen.spectrum;
  images.basis = std::move(eigen.vectors);
  images.rows = Array({count, d}, DType::f32);
  Eigen::Map<RowMatrix<float>>(images.rows.data<float>(), count, d) =
      (own * images.basis).cast<float>();
  images.others = x.bottomRows(x.rows() - count) * images.basis;
  return images;
}

}  // namespace

Array GreyImages::pixels(const Matrix& rows_in_basis) const {
  Matrix values = rows_in_basis * basis.transpose() * scale;
  values.rowwise() += mean.transpose();
  const RowMatrix<float> all = values.cast<float>();
  return from_vector(std::vector<float>(all.data(), all.data() + all.size()),
                     {all.rows(), 1, side, side});
}

GreyImages load_grey_images(const Run& run, const std::string& source, const Key& key,
                            int64_t count, Centre centre) {
  require(count > 1, "images: needs two or more, got ", count);
  return in_own_basis(small_images(run, source, key, count), count, centre, 0.5);
}

std::optional<GreyImages> fashion_images(const DataFolder& data, int64_t count, int64_t others) {
  const std::optional<std::string> path =
      try_data_file(data.path, "fashion-mnist", "t10k-images-idx3-ubyte");
  const std::vector<Array> read = path ? std::vector{load_idx(*path)} : std::vector<Array>();
  data.tell("fashion-mnist test images", read);
  if (!path) return std::nullopt;
  const Array& all = read[0];
  require(all.rank() == 3 && all.dim(1) == all.dim(2), *path, ": no square images, got ", all);
  require(count > 1 && others > 0,
          "Fashion-MNIST: needs two images or more to train on and others, got ", count, " and ",
          others);
  require(count + others <= all.dim(0), "Fashion-MNIST: ", count, " images to train on and ",
          others, " others were asked for, but ", *path, " holds ", all.dim(0), "; train on ",
          std::max<int64_t>(all.dim(0) - others, 0), " or fewer, or get the whole file");
  const Eigen::Map<const RowMatrix<uint8_t>> bytes(all.data<uint8_t>(), count + others,
                                                   all.dim(1) * all.dim(2));
  return in_own_basis(bytes.cast<double>() / 255, count, Centre::all_pixels, 1);
}

GreyImages scaled(GreyImages images, double factor) {
  const float* from = images.rows.data<float>();
  Array rows(images.rows.shape(), DType::f32);
  std::transform(from, from + rows.size(), rows.data<float>(),
                 [&](float v) { return static_cast<float>(v * factor); });
  images.rows = rows;
  images.others *= factor;
  images.spectrum.modes *= factor * factor;
  images.spectrum.rest *= factor * factor;
  images.scale /= factor;
  return images;
}

Matrix reconstruction(const Weights& w, const Transfer& g, const Matrix& inputs) {
  const double root = std::sqrt(static_cast<double>(inputs.cols()));
  Matrix code = inputs * w.encoder.transpose() / root;
  code.rowwise() += w.bias.transpose();
  return root * code.unaryExpr([&](double field) { return g.value(field); }) * w.decoder;
}

double empirical_error(const Weights& w, const GreyImages& images, const Transfer& g) {
  constexpr int64_t piece = 1000;
  const auto root = std::sqrt(static_cast<double>(images.spectrum.dimension));
  const Eigen::Map<const RowMatrix<float>> x(images.rows.data<float>(), images.count(), w.modes());
  const Eigen::MatrixXf encoder = w.encoder.cast<float>().transpose(),
                        decoder = w.decoder.cast<float>().transpose();
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
  return (images.spectrum.trace() + sum / static_cast<double>(x.rows())) / 2;
}

}  // namespace basin::online
