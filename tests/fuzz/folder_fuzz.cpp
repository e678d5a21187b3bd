// Any bytes as the story of a folder: files, folders, links and pipes under names that the readers
// look for. They return or throw Error, and never wait.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "data/cifar.h"
#include "data/idx.h"
#include "data/images.h"
#include "engine/allocator.h"
#include "tests/files.h"
#include "tests/fuzz/mutate.h"

namespace {

namespace fs = std::filesystem;

constexpr const char* names[] = {"a.png",
                                 "b.PGM",
                                 "c.ppm",
                                 ".hidden.png",
                                 "Thumbs.db",
                                 "d.bmp",
                                 "mnist",
                                 "MNIST",
                                 "MNIST/raw",
                                 "FashionMNIST/raw",
                                 "mnist/t10k-images-idx3-ubyte",
                                 "mnist/t10k-labels-idx1-ubyte",
                                 "t10k-images.idx3-ubyte",
                                 "t10k-labels-idx1-ubyte",
                                 "MNIST/raw/t10k-images-idx3-ubyte",
                                 "MNIST/raw/t10k-labels-idx1-ubyte.gz",
                                 "test_batch.bin",
                                 "cifar-10-batches-bin",
                                 "cifar-10-batches-bin/test_batch.bin"};

void put(const std::string& path, const std::string& content) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK, 0600);
  if (file < 0) return;  // something else has the name
  if (::write(file, content.data(), content.size()) < 0) std::abort();
  ::close(file);
}

std::string content_of(uint8_t kind) {
  using basin::fuzz::big_endian;
  const std::string pgm = "P5 2 2 255\nabcd";
  const std::string images =
      std::string("\0\0\x08\x03", 4) + big_endian(2, 4) + big_endian(28, 4) + big_endian(28, 4);
  switch (kind % 6) {
    case 0:
      return pgm;
    case 1:
      return pgm.substr(0, kind / 6 % (pgm.size() + 1));
    case 2:
      return images + std::string(2 * 28 * 28, '\7');
    case 3:
      return std::string("\0\0\x08\x01\0\0\0\x02\1\2", 10);
    case 4:
      return basin::fuzz::packed(std::string("\0\0\x08\x01\0\0\0\x02\1\2", 10), 6);
    default:
      return std::string(3073, '\1');
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace basin;
  const test::TemporaryFolder folder;
  std::error_code ignored;  // a name may lie in a folder that is none
  for (size_t i = 0; i + 2 < size && i < 48; i += 3) {
    const std::string path = folder / names[data[i + 1] % std::size(names)];
    switch (data[i] % 8) {
      case 0:
      case 1:
        fs::create_directories(path, ignored);
        break;
      case 2:
        fs::create_symlink(folder / names[data[i + 2] % std::size(names)], path, ignored);
        break;
      case 3:
        ::mkfifo(path.c_str(), 0600);
        break;
      default:
        put(path, content_of(data[i + 2]));
    }
  }
  const auto attempt = [](const auto& read) {
    try {
      read();
    } catch (const Error&) {
    }
  };
  attempt([&] {
    for (const std::string& name : load_images(folder.path()).names)
      if (name.starts_with('.')) __builtin_trap();
  });
  attempt([&] { load_mnist(folder.path(), Split::test); });
  attempt([&] { load_fashion_mnist(folder.path(), Split::test); });
  attempt([&] { load_cifar10(folder.path(), Split::test); });
  release_cache();
  return 0;
}

std::string basin::fuzz::mutated(const std::string& input, Dice& dice) {
  std::string story = input;
  if (dice.one_in(2)) story = dice.bytes(3 * dice.below(12));
  edit_bytes(story, dice);
  return story;
}
