// SHA-256 against published answers, and files that carry it.
#include "engine/digest.h"

#include <doctest/doctest.h>

#include "engine/safetensors.h"
#include "models/training/checkpoint.h"
#include "tests/files.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("digest: the examples of FIPS 180-4 and of NIST's test vectors") {
  CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmno"
               "ijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu") ==
        "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  const std::string million(1'000'000, 'a');
  const std::string answer = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
  CHECK(sha256(million) == answer);
  for (const size_t piece :
       {1, 55, 56, 63, 64, 65, 1000}) {  // in pieces that end anywhere in a block
    Sha256 hash;
    for (size_t at = 0; at < million.size(); at += piece) {
      hash.add(std::string_view(million).substr(at, piece));
      if (at < 2000) hash.hex();  // looking at it changes nothing
    }
    CHECK(hash.hex() == answer);
  }
}

TEST_CASE(
    "digest: a network's file with any one bit flipped is refused as a checkpoint, with the mend") {
  const TemporaryFolder folder;
  const std::string path = folder / "net.safetensors";
  const NamedArrays tensors{{"model.w", from_vector<float>({1, 2, 3, 4, 5, 6}, {2, 3})},
                            {"optimizer.m.w", from_vector<double>({7, 8}, {2})},
                            {"labels", from_vector<uint8_t>({9}, {1})}};
  const Metadata metadata{{"step", "17"}, {"architecture", "\"basin.sha256\":\"0\""}};
  save_safetensors(path, tensors, metadata);
  const Bytes good = read_file(path);
  CHECK(load_checkpoint(path).sealed);
  CHECK(load_checkpoint(path).metadata == metadata);
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    CAPTURE(bit);
    Bytes flipped = good;
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    write_quickly(path, flipped);
    const std::string told = error_of([&] { load_checkpoint(path); });
    CHECK(has(told, "checkpoint " + path + ": "));
    CHECK(has(told, "delete this one to begin its training again"));
  }
  for (size_t length = 0; length < good.size(); length += 7) {
    write_quickly(path, ByteSpan(good).first(length));
    CHECK(has(error_of([&] { load_checkpoint(path); }), path));
  }
}

TEST_CASE("digest: a checkpoint that cannot be read is not said to be worth deleting") {
  const TemporaryFolder folder;
  for (const std::string& path : {folder / "gone.safetensors", folder.path()}) {
    const std::string told = error_of([&] { load_checkpoint(path); });
    CHECK(has(told, path));
    CHECK_FALSE(has(told, "delete"));
  }
}

TEST_CASE("digest: an entry in another spelling is no seal, also with the digest of nothing") {
  for (const std::string& entry :
       {"\"basin.sha256\" :\"" + sha256("") + '"', "\"basin.sha256\": \"" + sha256("") + '"',
        "\"basin\\u002esha256\":\"" + sha256("") + '"', std::string("\"basin.sha256\":\"\"")}) {
    CAPTURE(entry);
    const std::string tensor = "{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}";
    const std::string header = "{\"__metadata__\":{" + entry + "},\"w\":" + tensor + "}";
    std::string file(8, '\0');
    file[0] = static_cast<char>(header.size());
    file += header + "x";
    const Bytes bytes(file.begin(), file.end());
    const std::string told = error_of([&] { parse_safetensors(bytes, "f"); });
    CHECK(has(told, "is not spelled as basin does"));
  }
}

TEST_CASE(
    "digest: files of other writers carry none; what was changed and kept its digest is refused") {
  const TemporaryFolder folder;
  const std::string path = folder / "net.safetensors";
  const std::string header = "{\"w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
  std::string file(8, '\0');
  file[0] = static_cast<char>(header.size());
  file += header + "x";
  write_atomically(path, std::string_view(file));
  CHECK_FALSE(load_safetensors(path).sealed);
  CHECK(has(error_of([&] { load_checkpoint(path); }),
            "it carries no digest (basin.sha256 in its metadata)"));
  const Array one = full({1}, 1, DType::f32);
  CHECK(has(error_of([&] {
              save_safetensors(path, {{"w", one}}, {{digest_key, "abc"}});
            }),
            "leave it out"));

  save_safetensors(path, {{"w", one}});
  Bytes changed = read_file(path);
  changed.back() ^= 1;
  write_quickly(path, changed);
  CHECK(has(error_of([&] { load_safetensors(path); }), "do not give the SHA-256"));
}
