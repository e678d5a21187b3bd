// Where the files of image sets are found, and what is refused before it is unpacked.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

#include "data/cifar.h"
#include "data/find.h"
#include "data/idx.h"
#include "engine/allocator.h"
#include "tests/data/data_files.h"
#include "tests/files.h"

using namespace basin;
using namespace basin::test;

namespace {

/// Sets BASIN_DATA (or removes it) while it lives.
class DataVariable {
 public:
  explicit DataVariable(const char* value) {
    const char* old = std::getenv("BASIN_DATA");
    if (old) old_ = old;
    was_set_ = old != nullptr;
    value ? ::setenv("BASIN_DATA", value, 1) : ::unsetenv("BASIN_DATA");
  }
  DataVariable(const DataVariable&) = delete;
  DataVariable& operator=(const DataVariable&) = delete;
  ~DataVariable() { was_set_ ? ::setenv("BASIN_DATA", old_.c_str(), 1) : ::unsetenv("BASIN_DATA"); }

 private:
  std::string old_;
  bool was_set_ = false;
};

}  // namespace

TEST_CASE("data folder: option, then BASIN_DATA, then ./datasets, and nothing hidden") {
  {
    const DataVariable none(nullptr);
    CHECK(data_folder("") == "./datasets");
  }
  const DataVariable variable("/from/variable");
  CHECK(data_folder("") == "/from/variable");
  CHECK(data_folder("option") == "option");
  const std::string message = error_of([] { load_mnist("/no/such/folder", Split::train); });
  CHECK(has(message, "no folder /no/such/folder"));
  CHECK(has(message, "\n  /no/such/folder/mnist\n"));
  CHECK(has(message, "\n  /no/such/folder/MNIST/raw\n"));
  CHECK(has(message, "train-images-idx3-ubyte or train-images.idx3-ubyte, plain or .gz"));
  CHECK(has(message, "scripts/fetch_data.sh mnist"));
  CHECK(!has(message, "/from/variable"));
  CHECK(has(error_of([] { load_cifar10("", Split::test); }),
            "\n  /from/variable/cifar-10-batches-bin\n"));
  CHECK(has(error_of([] { load_fashion_mnist("", Split::test); }),
            "scripts/fetch_data.sh fashion-mnist"));
}

TEST_CASE("data folder: sets are found plain and packed, in their subfolder and directly") {
  const TemporaryFolder folder;
  namespace fs = std::filesystem;
  fs::create_directories(folder / "mnist");
  write_atomically(folder / "mnist/t10k-images-idx3-ubyte.gz", gzip(idx({4, 28, 28})));
  write_atomically(folder / "mnist/t10k-labels-idx1-ubyte", idx({4}, 10));
  for (const std::string& place : {folder.path(), folder / "mnist", folder / "mnist/"}) {
    const LabelledImages set = load_mnist(place, Split::test);
    CHECK(set.images.shape() == Shape{4, 28, 28});
    CHECK(set.labels.to_vector<uint8_t>() == Bytes{0, 7, 4, 1});
  }
  // the digits are not taken for clothes, though the file names are the same
  CHECK(error_of([&] { load_fashion_mnist(folder / "mnist", Split::test); }) != "no error");

  write_atomically(folder / "mnist/t10k-labels-idx1-ubyte", idx({5}, 10));
  const std::string counts = error_of([&] { load_mnist(folder.path(), Split::test); });
  CHECK(has(counts, "4 images in"));
  CHECK(has(counts, "5 labels in"));
  write_atomically(folder / "mnist/t10k-labels-idx1-ubyte", idx({4}, 251));
  CHECK(has(error_of([&] { load_mnist(folder.path(), Split::test); }), "label 14 of item 2"));
  write_atomically(folder / "mnist/t10k-labels-idx1-ubyte", idx({2, 2}, 10));
  CHECK(has(error_of([&] { load_mnist(folder.path(), Split::test); }), "rank 1"));

  write_atomically(folder / "data_batch_1.bin", cifar(3));
  write_atomically(folder / "data_batch_3.bin.gz", gzip(cifar(2)));
  const LabelledImages set = load_cifar10(folder.path(), Split::train);
  CHECK(set.images.shape() == Shape{5, 3, 32, 32});
  CHECK(set.labels.to_vector<uint8_t>() == Bytes{0, 1, 2, 0, 1});
}

TEST_CASE("data folder: names as other programs write them") {
  namespace fs = std::filesystem;
  struct Names {
    const char* place;
    const char* option;  // the --data below the folder
    const char* images;
    const char* labels;
    bool fashion;
  };
  for (const Names& names : {
           Names{"mnist", "", "t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte", false},
           Names{"mnist", "", "t10k-images.idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", false},
           Names{"MNIST/raw", "", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", false},
           Names{"MNIST/raw", "MNIST", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz",
                 false},
           Names{"MNIST/raw", "MNIST/raw", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
                 false},
           Names{"FashionMNIST/raw", "", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte.gz",
                 true},
           Names{"FashionMNIST/raw", "FashionMNIST/raw", "t10k-images-idx3-ubyte",
                 "t10k-labels-idx1-ubyte", true},
       }) {
    const TemporaryFolder folder;
    CAPTURE(names.place);
    CAPTURE(names.option);
    const fs::path place = fs::path(folder.path()) / names.place;
    fs::create_directories(place);
    const auto put = [&](const std::string& name, const Bytes& bytes) {
      write_atomically((place / name).string(), name.ends_with(".gz") ? gzip(bytes) : bytes);
    };
    put(names.images, idx({4, 28, 28}));
    put(names.labels, idx({4}, 10));
    const std::string option = folder / names.option;
    const auto read = [&](bool fashion) {
      return error_of([&] { (fashion ? load_fashion_mnist : load_mnist)(option, Split::test); });
    };
    CHECK(read(names.fashion) == "no error");
    CHECK(has(read(!names.fashion),
              "was not found"));  // the digits are not taken for clothes, nor clothes for digits
  }
  // Only a whole name says what a folder holds.
  for (const char* place : {"fashion-study/data", "data/fashion", "my-mnist", "mnist/set"}) {
    const TemporaryFolder folder;
    CAPTURE(place);
    fs::create_directories(folder / place);
    write_atomically(folder / place + "/t10k-images-idx3-ubyte", idx({4, 28, 28}));
    write_atomically(folder / place + "/t10k-labels-idx1-ubyte", idx({4}, 10));
    CHECK(error_of([&] { load_mnist(folder / place, Split::test); }) == "no error");
    CHECK(error_of([&] { load_fashion_mnist(folder / place, Split::test); }) == "no error");
  }
  const TemporaryFolder folder;
  fs::create_directories(folder / "cifar-10-batches-bin");
  write_atomically(folder / "cifar-10-batches-bin/test_batch.bin.gz", gzip(cifar(2)));
  CHECK(load_cifar10(folder.path(), Split::test).images.dim(0) == 2);
}

TEST_CASE(
    "data folder: a pipe, a folder or a link to nothing in the place of a file is named as such") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "mnist");
  const std::string images = folder / "mnist/t10k-images-idx3-ubyte";
  const auto error = [&] { return error_of([&] { load_mnist(folder.path(), Split::test); }); };
  SUBCASE("pipe") {
    REQUIRE(::mkfifo(images.c_str(), 0600) == 0);
    CHECK(has(error(), images + " is not a regular file"));
  }
  SUBCASE("folder") {
    std::filesystem::create_directory(images);
    CHECK(has(error(), images + " is a folder"));
  }
  SUBCASE("link") {
    std::filesystem::create_symlink(folder / "gone", images);
    CHECK(has(error(), images + " is a link to nothing"));
  }
  SUBCASE("a later batch is not left out in silence") {
    write_atomically(folder / "data_batch_1.bin", cifar(1));
    std::filesystem::create_directory(folder / "data_batch_2.bin");
    CHECK(has(error_of([&] { load_cifar10(folder.path(), Split::train); }),
              "data_batch_2.bin is a folder"));
  }
  SUBCASE("a folder beside the file") {  // as one archive of MNIST unpacks
    std::filesystem::create_directory(images);
    write_atomically(folder / "mnist/t10k-images.idx3-ubyte", idx({4, 28, 28}));
    write_atomically(folder / "mnist/t10k-labels-idx1-ubyte", idx({4}, 10));
    CHECK(error() == "no error");
  }
}

TEST_CASE("idx: a small file does not become a large array") {
  // the header of a gzip file whose size lets it hold what it claims, 1032 times as much
  const auto claims = [](uint8_t high, uint8_t low, size_t packed) {
    Bytes file = gzip({0, 0, 8, 3, 0, high, low, 0, 0, 0, 0, 28, 0, 0, 0, 28});
    file.resize(file.size() + packed, 1);
    return file;
  };
  const Bytes bomb = claims(0x2b, 0, 2'300'000);  // 2.2 MB that would become 2.2 GB
  const std::string refused = error_of([&] { parse_idx(bomb, "f"); });
  CHECK(has(refused, "u8[2818048, 28, 28] is more than 1073741824 bytes"));
  const TemporaryFolder folder;
  write_atomically(folder / "t10k-images-idx3-ubyte.gz",
                   claims(1, 0x86, 100'000));  // 99,840 digits
  write_atomically(folder / "t10k-labels-idx1-ubyte", idx({4}, 10));
  reset_peak();
  const size_t before = memory_stats().live;
  CHECK(has(error_of([&] { load_mnist(folder.path(), Split::test); }), "99840 images in"));
  CHECK(memory_stats().peak - before < 1 << 20);  // refused by the headers alone
  write_atomically(folder / "t10k-images-idx3-ubyte.gz", gzip(idx({4, 29, 28})));
  CHECK(has(error_of([&] { load_mnist(folder.path(), Split::test); }), "28 x 28"));
}
