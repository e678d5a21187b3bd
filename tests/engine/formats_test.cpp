// Files of the engine: atomic writing, .npy. Safetensors are in safetensors_test.cpp.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

#include "engine/npy.h"
#include "engine/system.h"
#include "tests/engine/specimens.h"
#include "tests/files.h"

using namespace basin;
using namespace basin::test;

namespace {

/// Files of this process end at `bytes` while it lives: the disk that runs full.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    old_handler_ = ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  void (*old_handler_)(int) = nullptr;
};

std::string npy(const std::string& header, size_t data_bytes) {
  std::string bytes = std::string("\x93NUMPY\x01\x00", 8) + "  " + header + '\n';
  const auto size = static_cast<uint16_t>(header.size() + 1);
  std::memcpy(bytes.data() + 8, &size, 2);
  return bytes + std::string(data_bytes, 'x');
}

}  // namespace

TEST_CASE("files: written whole or not at all") {
  const TemporaryFolder folder;
  const std::string path = folder / "file";
  write_atomically(path, "old");
  CHECK(content(path) == "old");

  SUBCASE("a disk that runs full") {
    const FileSizeLimit limit(1000);
    const std::string message =
        error_of([&] { write_atomically(path, std::string(100'000, 'n')); });
    CHECK(has(message, path));
    CHECK(has(message, std::strerror(EFBIG)));
  }
  SUBCASE("a device that is full") {  // the sink itself, on the kernel's own full device
    const std::string device = "/dev/full";
    const int descriptor = ::open(device.c_str(), O_WRONLY);
    REQUIRE(descriptor >= 0);
    FileSink sink(descriptor, device);
    const std::string message = error_of([&] { sink.write("x"); });
    CHECK(has(message, device));
    CHECK(has(message, std::strerror(ENOSPC)));
    ::close(descriptor);
  }
  SUBCASE("a writer that fails half-way") {
    const auto writer = [](FileSink& sink) {
      sink.write("new");
      throw Error("the writer failed");
    };
    CHECK(error_of([&] { write_atomically(path, writer); }) == "the writer failed");
  }
  SUBCASE("a folder that is not there") {
    const std::string message = error_of([&] { write_atomically(folder / "no/file", "new"); });
    CHECK(has(message, folder / "no/file"));
    CHECK(has(message, std::strerror(ENOENT)));
  }
  SUBCASE("a folder in the place of the file") {
    std::filesystem::create_directory(folder / "taken");
    std::ofstream(folder / "taken/file");
    CHECK(has(error_of([&] { write_atomically(folder / "taken", "new"); }), folder / "taken"));
    std::filesystem::remove_all(folder / "taken");
  }
  CHECK(content(path) == "old");
  CHECK(folder.count() == 1);

  write_atomically(path, "new");
  CHECK(content(path) == "new");
  CHECK(folder.count() == 1);
}

TEST_CASE("files: a fault of the machine is told from bad input") {
  const TemporaryFolder folder;
  const auto fault = [](auto&& work) {
    try {
      work();
    } catch (const Error& error) {
      return error.fault();
    }
    return Fault::interrupted;
  };
  {
    const FileSizeLimit limit(1000);
    CHECK(fault([&] { write_atomically(folder / "file", std::string(100'000, 'n')); }) ==
          Fault::internal);
  }
  write_atomically(folder / "file", "old");
  CHECK(fault([&] { read_file(folder / "none"); }) == Fault::input);
  CHECK(fault([&] { make_folders(folder / "file/inside"); }) == Fault::input);
  for (const int reason :
       {ENOSPC, EDQUOT, EIO, ENOMEM, EMFILE, ENFILE, EAGAIN, EFBIG, ESTALE, EINTR})
    CHECK(fault_of(reason) == Fault::internal);
  for (const int reason :
       {ENOENT, ENOTDIR, EISDIR, EACCES, EPERM, EROFS, ELOOP, ENAMETOOLONG, EEXIST})
    CHECK(fault_of(reason) == Fault::input);
  CHECK(std::string(system_fault("x", ENOSPC).what()) ==
        "x: No space left on device; free some space or choose another place");
  CHECK(Error("x", Fault::internal).exit_code() == 1);
  CHECK(Error("x").exit_code() == 2);
}

TEST_CASE("files: folders are made with those above them, and what is in the way is named") {
  const TemporaryFolder folder;
  make_folders(folder / "a/b//c/");
  CHECK(std::filesystem::is_directory(folder / "a/b/c"));
  make_folders(folder / "a/b");
  std::filesystem::create_directory_symlink("b", folder / "a/link");
  make_folders(folder / "a/link/d");
  CHECK(std::filesystem::is_directory(folder / "a/b/d"));
  write_atomically(folder / "file", std::string_view("old"));
  for (const char* path : {"file", "file/x", "file/x/y"})
    CHECK(has(error_of([&] { make_folders(folder / path); }),
              folder / "file" + " exists and is no folder"));
  std::filesystem::create_symlink("nowhere/at all", folder / "dangling");
  for (const char* path : {"dangling", "dangling/x"}) {
    const std::string message = error_of([&] { make_folders(folder / path); });
    CHECK(has(message, "cannot make the folder " + folder / path + ": " + folder / "dangling" +
                           " is a link to nowhere/at all, which is not there"));
  }
  CHECK(has(error_of([&] { make_folders(folder / std::string(300, 'n')); }),
            std::strerror(ENAMETOOLONG)));
}

TEST_CASE("files: one that grows, and a pipe or a folder in its place") {
  const TemporaryFolder folder;
  for (const char* line : {"one\n", "two\n"}) {
    const int file = open_to_append(folder / "lines");
    FileSink(file, folder / "lines").write(line);
    ::close(file);
    sync_file(folder / "lines");
  }
  CHECK(content(folder / "lines") == "one\ntwo\n");

  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(has(error_of([&] { open_to_append(folder / "pipe"); }),
            folder / "pipe" + ": it is not a regular file"));
  CHECK(has(error_of([&] { write_atomically(folder / "pipe", "x"); }), "not a regular file"));
  CHECK(std::filesystem::is_fifo(folder / "pipe"));
  CHECK(has(error_of([&] { open_to_append(folder.path()); }), folder.path()));
  CHECK(has(error_of([&] { open_to_append(folder / "no/file"); }), std::strerror(ENOENT)));
  CHECK(has(error_of([&] { open_to_append("/dev/null"); }), "not a regular file"));

  write_atomically(folder / "part", std::string_view("new"));
  sync_and_rename(folder / "part", folder / "lines");
  CHECK(content(folder / "lines") == "new");
  CHECK_FALSE(std::filesystem::exists(folder / "part"));
  write_atomically(folder / "part", std::string_view("new"));
  std::filesystem::create_directory(folder / "taken");
  CHECK(
      has(error_of([&] { sync_and_rename(folder / "part", folder / "taken"); }), folder / "taken"));
  CHECK_FALSE(std::filesystem::exists(folder / "part"));
}

TEST_CASE("files: what cannot be read is named") {
  const TemporaryFolder folder;
  CHECK(has(error_of([&] { read_file(folder / "none"); }), std::strerror(ENOENT)));
  CHECK(has(error_of([&] { read_file(folder.path()); }), folder.path() + ": it is a folder"));
  CHECK(has(error_of([] { read_file("/dev/zero"); }), "not a regular file"));
  write_atomically(folder / "big", "12345");
  CHECK(has(error_of([&] { read_file(folder / "big", 4); }), "5 bytes, more than the 4"));
}

TEST_CASE("npy: every dtype and rank comes back") {
  const TemporaryFolder folder;
  const std::string path = folder / "x.npy";
  for (const auto& specimen : specimens()) {
    CAPTURE(specimen.first);
    const Array& array = specimen.second;
    save_npy(path, array);
    CHECK(same(load_npy(path), array));
    const std::string bytes = content(path);
    CHECK((bytes.size() - static_cast<size_t>(array.size()) * size_of(array.dtype())) % 64 == 0);
    for (size_t length = 0; length < bytes.size(); ++length)
      CHECK(has(error_of([&] { parse_npy(as_bytes(bytes).first(length), "cut"); }), "npy cut"));
  }
  // numpy.save of numpy.arange(3, dtype='<i4'), byte for byte
  std::string numpy = "{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }";
  numpy.resize(117, ' ');
  save_npy(path, from_vector<int32_t>({0, 1, 2}, {3}));
  CHECK(content(path).substr(0, 128) == npy(numpy, 0));
}

TEST_CASE("npy: headers that lie or ask too much") {
  const auto error = [](const std::string& header, size_t data_bytes) {
    const std::string bytes = npy(header, data_bytes);
    return error_of([&] { parse_npy(as_bytes(bytes), "f"); });
  };
  CHECK(error("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 24) == "no error");
  CHECK(error("{'descr': '<f8', 'fortran_order': False, 'shape': (), }", 8) == "no error");
  CHECK(has(error("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 23), "truncated"));
  CHECK(has(error("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 25),
            "1 bytes after"));
  CHECK(has(error("{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }", 12),
            "dtype '<f2' is not"));
  CHECK(has(error("{'descr': '|b1', 'fortran_order': False, 'shape': (2, 3), }", 6), "astype"));
  CHECK(has(error("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3), }", 24),
            "structured"));
  CHECK(has(error("{'descr': '<f4', 'fortran_order': False, 'shape': (2, -3), }", 24), "'shape'"));
  CHECK(has(error("{'descr': '<f4', 'fortran_order': False, 'shape': 6, }", 24), "not a tuple"));
  CHECK(has(error("{'descr': '<f4', 'fortran_order': False, }", 24), "no 'shape'"));
  CHECK(has(error("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1), }", 4),
            "rank 7"));
  CHECK(has(
      error("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387905, 4), }", 16),
      "addressed"));
  CHECK(
      has(error("{'descr': '|u1', 'fortran_order': False, 'shape': (0, 9223372036854775808), }", 0),
          "addressed"));
  CHECK(has(error_of([] { parse_npy(as_bytes("PK\x03\x04 not an array"), "f"); }),
            "npy f: does not begin"));
}

TEST_CASE("npy: headers as other programs write them") {
  const auto read = [](const std::string& header, const std::string& data, char version = 1) {
    std::string bytes = npy(header, 0) + data;
    if (version > 1) bytes = bytes.substr(0, 10) + std::string(2, '\0') + bytes.substr(10);
    bytes[6] = version;
    return parse_npy(as_bytes(bytes), "f");
  };
  const std::string data("\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40\0\0\xa0\x40\0\0\xc0\x40",
                         24);
  const std::vector<float> rows{1, 2, 3, 4, 5, 6};
  for (const char* header : {"{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }",
                             "{\"descr\": \"<f4\", \"fortran_order\": False, \"shape\": (2, 3)}",
                             "{'descr' : '<f4' , 'fortran_order' : False , 'shape' : ( 2 , 3 ) }",
                             "{'shape':(2,3,),'descr':'=f4','fortran_order':False}",
                             "  {'descr': 'f4',\n'fortran_order': False,\t'shape': (2, 3), }  "}) {
    CAPTURE(header);
    const Array array = read(header, data);
    CHECK(array.shape() == Shape{2, 3});
    CHECK(array.to_vector<float>() == rows);
  }
  const std::string plain = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
  CHECK(read(plain, data, 2).to_vector<float>() == rows);
  CHECK(read(plain, data, 3).to_vector<float>() == rows);
  CHECK(has(error_of([&] { read(plain, data, 4); }), "version"));
  CHECK(has(error_of([&] {
              read("{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3), }", data, 3);
            }),
            "shape"));
  CHECK(read("{'descr': '<u1', 'fortran_order': False, 'shape': (2,), }", "ab")
            .to_vector<uint8_t>() == std::vector<uint8_t>{'a', 'b'});

  std::string swapped = data;
  for (size_t i = 0; i < swapped.size(); i += 4)
    std::reverse(swapped.begin() + i, swapped.begin() + i + 4);
  CHECK(read("{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }", swapped)
            .to_vector<float>() == rows);
  const Array columns = read("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", data);
  CHECK(columns.shape() == Shape{2, 3});
  CHECK(columns.to_vector<float>() == std::vector<float>{1, 3, 5, 2, 4, 6});
  CHECK(read("{'descr': '<f4', 'fortran_order': True, 'shape': (), }", data.substr(0, 4))
            .to_vector<float>() == std::vector<float>{1});
  CHECK(read("{'descr': '<f4', 'fortran_order': True, 'shape': (3, 0), }", "").shape() ==
        Shape{3, 0});
}

TEST_CASE("npy: headers that no program means") {
  const auto error = [](const std::string& header, size_t data_bytes = 24) {
    const std::string bytes = npy(header, data_bytes);
    return error_of([&] { parse_npy(as_bytes(bytes), "f"); });
  };
  CHECK(has(error("{'descr': '<f4', 'fortran_order': False, 'shape': (6), }"),
            "not a tuple"));  // a number in Python
  CHECK(has(error("{'descr': '<f4', 'fortran_order': False, 'shape': [6], }"), "not a tuple"));
  CHECK(has(error("{'descr': '<f4', 'fortran_order': False, 'shape': (2 3), }"), "shape"));
  CHECK(has(error("{'descr': '<f4', 'fortran_order': False, 'shape': (2,, 3), }"), "shape"));
  CHECK(has(error("{'descr': '<f4', 'fortran_order': False, 'shape': (06,), }"), "shape"));
  CHECK(has(error("{'descr': '<f4', 'fortran_order': 0, 'shape': (6,), }"), "fortran_order"));
  CHECK(has(error("{'descr': '<f4', 'fortran_order': Falsely, 'shape': (6,), }"), "fortran_order"));
  CHECK(has(error("{'descr': '<f4', 'fortran_order': False, 'shape': (6,), 'more': 1}"), "more"));
  CHECK(has(error("{'descr': '<f4', 'fortran_order': False, 'shape': (6,)} x"), "follows"));
  CHECK(has(error("{'descr': '<f4', 'fortran_order': False, 'shape': (6,)"), "header"));
  CHECK(has(error("{'descr': '<f4x', 'fortran_order': False, 'shape': (6,), }"), "dtype"));
  CHECK(has(error("{'fortran_order': False, 'shape': (6,), }"), "no 'descr'"));
  CHECK(has(error("{'a': 'fortran_order': False, 'shape': (6,), }"), "header"));
  CHECK(has(
      error("{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }" + std::string(10'000, ' ')),
      "10000"));
}
