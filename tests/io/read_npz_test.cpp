// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/io/read_npz.hpp"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/random.hpp"
#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/io/read_weights.hpp"
#include "io/npz_file.hpp"
#include "io/temporary_folder.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using namespace contrapunto::test;
using Catch::Matchers::Contains;

namespace {

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

const std::string kSix = bytes_of<float>({0, 1, 2, 3, 4, 5});

TensorMap read(const std::string& bytes) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "a.npz", bytes);
  return read_npz(folder / "a.npz");
}

/// Reads the file `bytes` and checks that it is refused with each of `words` and its path.
void refuse(const std::string& bytes, const std::vector<std::string>& words) {
  std::string message;
  try {
    static_cast<void>(read(bytes));
  } catch (const DataError& error) {
    message = error.what();
  }
  CHECK_THAT(message, Contains("a.npz"));
  for (const auto& word : words) CHECK_THAT(message, Contains(word));
}

/// The same for an archive with the part a/b.npy.
void refuse_part(const std::string& part, const std::vector<std::string>& words) {
  auto all = words;
  all.emplace_back("part 'a/b.npy'");
  refuse(zip_of({{"a/b.npy", part}}), all);
}

}  // namespace

TEST_CASE("Arrays of every type, order and number of axes are read", "[io][cpu]") {
  const std::vector<std::pair<std::string, at::ScalarType>> types = {
      {"<f2", at::kHalf}, {"<f4", at::kFloat}, {"<f8", at::kDouble},   {"<i4", at::kInt},
      {"<i8", at::kLong}, {"|u1", at::kByte},  {"|V2", at::kBFloat16}, {"<V2", at::kBFloat16}};
  const auto whole = torch::arange(6).view({2, 3});
  for (const auto& [name, type] : types) {
    INFO(name);
    const auto values = torch::arange(6).to(type);
    const std::string bytes(static_cast<const char*>(values.const_data_ptr()), values.nbytes());
    const auto file = read(zip_of({{"c.npy", npy_of(name, "(2, 3)", bytes)},
                                   {"f.npy", npy_of(name, "(3, 2)", bytes, true)}}));
    CHECK(at::equal(file.at("c"), whole.to(type)));
    CHECK(at::equal(file.at("f"), whole.to(type).t()));
    CHECK(file.at("f").is_contiguous());
  }
  const auto file = read(zip_of({{"params/img/x.npy", npy_of("<f4", "()", kSix.substr(4, 4))},
                                 {"one.npy", npy_of("<f4", "(6,)", kSix)},
                                 {"three.npy", npy_of("<f4", "(1, 3, 2)", kSix, true)},
                                 {"none.npy", npy_of("<f4", "(0, 7)", "")}}));
  CHECK(at::equal(file.at("params/img/x"), torch::tensor(1.0F)));
  CHECK(at::equal(file.at("one"), torch::arange(6, at::kFloat)));
  CHECK(
      at::equal(file.at("three"), torch::arange(6, at::kFloat).view({2, 3, 1}).permute({2, 1, 0})));
  CHECK(file.at("none").sizes() == at::IntArrayRef({0, 7}));
}

TEST_CASE("Headers of all versions and in zip64 archives are read", "[io][cpu]") {
  // In another order, without the last comma, with other quotes.
  const std::string dictionary = "{\"shape\":(2,3),'fortran_order':False, \"descr\": '<f4'}";
  for (const int version : {1, 2, 3})
    for (const bool zip64 : {false, true}) {
      const auto file = read(zip_of({{"x.npy", npy_of(dictionary, kSix, version)}}, zip64));
      CHECK(at::equal(file.at("x"), torch::arange(6, at::kFloat).view({2, 3})));
    }
  CHECK(read(zip_of({})).empty());
}

TEST_CASE("Compressed arrays are read with every kind of block", "[io][cpu]") {
  RandomStream random(1, 0, 0);
  std::string mixed;
  for (int i = 0; i < 300'000; ++i)  // More than the window of 32 KiB, and several blocks.
    mixed += static_cast<char>(i % 9000 < 6000 ? random.integer(1 + i / 2000 % 256) : i % 7);
  const std::string zeros(300'000, '\0');
  for (const auto& content : {mixed, zeros, std::string(), std::string("a")})
    for (const int level : {0, 1, 9})
      for (const int strategy : {Z_DEFAULT_STRATEGY, Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE}) {
        INFO(content.size() << " bytes, level " << level << ", strategy " << strategy);
        const auto shape = "(" + std::to_string(content.size()) + ",)";
        const auto file =
            read(deflated_zip_of({{"x.npy", npy_of("|u1", shape, content)}}, level, strategy));
        const auto& x = file.at("x");
        REQUIRE(x.nbytes() == content.size());
        CHECK((content.empty() ||
               std::memcmp(x.const_data_ptr(), content.data(), content.size()) == 0));
      }
}

TEST_CASE("Damaged compressed streams are refused", "[io][cpu]") {
  const auto inflated = [](const std::string& packed, std::size_t size) {
    std::string content(size, '\0');
    try {
      contrapunto::detail::inflate(packed, content.data(), size);
    } catch (const DataError& error) {
      return std::string(error.what());
    }
    return content;
  };
  const std::string text = "abcabcabcabcabcabc";
  const auto packed = deflated(text);
  CHECK(inflated(packed, text.size()) == text);
  CHECK_THAT(inflated(packed, text.size() + 1), Contains("do not end where its size says"));
  CHECK_THAT(inflated(packed, text.size() - 1), Contains("more than its size"));
  CHECK_THAT(inflated(packed + "x", text.size()), Contains("do not end where its size says"));
  CHECK_THAT(inflated(packed.substr(0, 3), text.size()), Contains("end too early"));
  CHECK_THAT(inflated("", 1), Contains("end too early"));
  CHECK_THAT(inflated("\x07", 1), Contains("unknown kind"));
  CHECK_THAT(inflated(std::string("\x01\x01\0\0\0a", 6), 1), Contains("damaged length"));
  CHECK_THAT(inflated(std::string("\x01\x05\0\xFA\xFF"
                                  "a",
                                  6),
                      5),
             Contains("end too early"));
  // Fixed codes: the length 3 at the distance 1 before any byte.
  CHECK_THAT(inflated(std::string("\x03\x02\0\0", 4), 3), Contains("before the first"));
  // Own codes, of which three have one bit.
  CHECK_THAT(inflated(std::string("\x05\0\x92\0\0\0\0", 7), 1), Contains("impossible code"));
}

TEST_CASE("Arrays that are no weights are refused", "[io][cpu]") {
  refuse_part(npy_of(">f4", "(6,)", kSix), {"'>f4'", "little-endian"});
  refuse_part(npy_of("<c8", "(3,)", kSix), {"'<c8'"});
  refuse_part(npy_of("|V3", "(8,)", kSix), {"'|V3'"});
  refuse_part(npy_of("|O", "(1,)", kSix), {"Python objects", "executing"});
  refuse_part(npy_of("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,), }", kSix),
              {"records"});
  refuse_part("weights", {"is no .npy array"});
  refuse_part("", {"is no .npy array"});
  refuse(zip_of({{"a/b.txt", kSix}}), {"part 'a/b.txt' is no .npy array"});
}

TEST_CASE("Headers that do not fit the elements are refused", "[io][cpu]") {
  const auto fault = [](const std::string& shape, const std::vector<std::string>& words) {
    refuse_part(npy_of("<f4", shape, kSix), words);
  };
  fault("(7,)", {"(7)", "24 bytes"});
  fault("(5,)", {"does not fill"});
  fault("(4611686018427387904, 4)", {"does not fill"});
  fault("(0, 4611686018427387904, 4)", {"does not fill"});
  fault("(9223372036854775808,)", {"shape"});
  fault("(-6,)", {"shape"});
  fault("(6 6)", {"expected ')'"});
  fault("6", {"expected '('"});
  std::string many = "(";
  for (int i = 0; i < 65; ++i) many += "1,";
  fault(many + ")", {"at most 64"});
  refuse_part(npy_of("{'descr': '<f4', 'fortran_order': False}", kSix), {"expected descr"});
  refuse_part(npy_of("{'descr': '<f4', 'descr': '<f4'}", kSix), {"the entry 'descr'"});
  refuse_part(npy_of("{'descr': '<f4', 'fortran_order': 1}", kSix), {"True or False"});
  refuse_part(npy_of("{'descr': '<f4", kSix), {"no end"});
  refuse_part(npy_of("{'os.system': '<f4'}", kSix), {"the entry 'os.system'"});
  refuse_part(npy_of("{'descr': '<f4', 'fortran_order': False, 'shape': (6,)} 1", kSix),
              {"damaged header"});
  refuse_part(npy_of("{}", kSix, 4), {"version 4"});
  refuse_part(std::string("\x93NUMPY\1\0\xFF\xFF{}", 12), {"65535 bytes"});
  refuse_part(std::string("\x93NUMPY\2\0\xFF\xFF", 10), {"without a header"});
}

TEST_CASE("Damaged archives of arrays are refused", "[io][cpu]") {
  const auto npy = npy_of("<f4", "(6,)", kSix);
  const auto file = zip_of({{"a/b.npy", npy}}), packed = deflated_zip_of({{"a/b.npy", npy}});
  for (const auto& bytes : {file, packed})
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) refuse(bytes.substr(0, cut), {});
  auto flipped = file;
  flipped[file.find(kSix) + 5] ^= 4;
  refuse(flipped, {"part 'a/b.npy' is damaged: its bytes are not those that were written"});
  flipped = packed;
  flipped[60] ^= 4;
  refuse(flipped, {"part 'a/b.npy' is damaged"});
  // A small part that claims to hold a terabyte is refused before memory is taken.
  auto large = packed;
  const auto record = packed.find("PK\x01\x02");
  large.replace(record + 24, 4, little(0xFFFFFFFE, 4));
  refuse(large, {"part 'a/b.npy' has 4294967294 bytes", "can hold"});
  auto method = packed;
  method[record + 10] = 12;  // bzip2
  refuse(method, {"part 'a/b.npy' is compressed"});
  refuse("no zip archive", {"no zip archive"});
  CHECK_THROWS_WITH(read_npz("/no/such.npz"), Contains("/no/such.npz"));
}

TEST_CASE("Weights with the ending .npz are read as arrays", "[io][cpu]") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "a.npz", zip_of({{"a.npy", npy_of("<f4", "(6,)", kSix)}}));
  CHECK(is_weights_path(folder / "a.npz"));
  CHECK(at::equal(read_weights(folder / "a.npz").at("a"), torch::arange(6, at::kFloat)));
  write_file_atomically(folder / "bad.npz", "PK");
  CHECK_THROWS_WITH(read_weights(folder / "bad.npz"), Contains("bad.npz"));
}
