// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/io/write_npz.hpp"

#include <cstring>
#include <limits>
#include <string>

#include "contrapunto/io/read_file.hpp"
#include "io/temporary_folder.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using contrapunto::test::TemporaryFolder;

namespace {

/// Whether dtype, shape and bits are equal. Unlike equal() it compares NaN by its bits.
bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
         std::memcmp(a.contiguous().const_data_ptr(), b.contiguous().const_data_ptr(),
                     a.nbytes()) == 0;
}

}  // namespace

TEST_CASE("Tensors of every type, shape and stride come back bit for bit", "[io][cpu]") {
  torch::manual_seed(1);
  TensorMap tensors;
  for (const auto type :
       {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kByte})
    tensors[std::string("type/") + c10::toString(type)] = (100 * torch::rand({3, 5})).to(type);
  tensors["scalar"] = torch::tensor(0.25);
  tensors["empty"] = torch::empty({0, 7});
  tensors["transposed"] = torch::randn({4, 6}).t();
  tensors["expanded"] = torch::tensor(1.5).expand({2, 3});
  tensors["one"] = torch::randn({3}, torch::requires_grad());
  tensors["many/axes"] = torch::randn(std::vector<std::int64_t>(40, 1));
  tensors["special"] = torch::tensor(
      {std::numeric_limits<float>::quiet_NaN(), -0.0F, -std::numeric_limits<float>::infinity()});
  const TemporaryFolder folder;
  write_npz(folder / "a.npz", tensors);
  const auto read = read_npz(folder / "a.npz");
  REQUIRE(read.size() == tensors.size());
  for (const auto& [name, tensor] : tensors) {
    INFO(name);
    REQUIRE(read.contains(name));
    CHECK(same_bits(read.at(name), tensor));
  }
  const auto bytes = read_file(folder / "a.npz");
  write_npz(folder / "a.npz", read);
  CHECK(read_file(folder / "a.npz") == bytes);
  CHECK(folder.names() == std::vector<std::string>{"a.npz"});
  write_npz(folder / "none.npz", {});
  CHECK(read_npz(folder / "none.npz").empty());
}

TEST_CASE("The header is the one that numpy writes", "[io][cpu]") {
  // numpy.save of zeros in float32 with the shapes (3,), (3, 4) and ().
  const auto header = [](const std::string& shape) {
    const auto text = "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }";
    return std::string("\x93NUMPY\x01\0v\0", 10) + text + std::string(117 - text.size(), ' ') +
           "\n";
  };
  CHECK(contrapunto::detail::npy_header(torch::zeros({3}), "<f4") == header("(3,)"));
  CHECK(contrapunto::detail::npy_header(torch::zeros({3, 4}), "<f4") == header("(3, 4)"));
  CHECK(contrapunto::detail::npy_header(torch::zeros({}), "<f4") == header("()"));
  // As long as the header, with its newline, fits.
  for (int axes = 0; axes < 60; ++axes) {
    const auto one = torch::zeros(std::vector<std::int64_t>(static_cast<std::size_t>(axes), 1));
    const auto text = contrapunto::detail::npy_header(one, "<f4");
    CHECK(text.size() % 64 == 0);
    CHECK(text.ends_with('\n'));
    CHECK(contrapunto::detail::read_npy_header(text + std::string(4, '\0')).shape ==
          one.sizes().vec());
  }
}

TEST_CASE("Large sizes and offsets are written in the zip64 format", "[io][cpu]") {
  const TemporaryFolder folder;
  const std::string small = "small", large(200, 'x');
  // The limit stands for 4 GiB: nothing, only offsets, sizes too, and everything is beyond it.
  for (const std::uint64_t limit :
       {std::uint64_t{0xFFFFFFFF}, std::uint64_t{400}, std::uint64_t{150}, std::uint64_t{0}}) {
    INFO(limit);
    {
      AtomicFile file(folder / "a.zip");
      contrapunto::detail::ZipWriter zip(file, limit);
      zip.add("a", small, "");
      zip.add("b", large.substr(0, 7), large.substr(7));
      zip.add("c", "", large);
      zip.add("d", "", small);
      zip.finish();
      file.commit();
    }
    const auto file = contrapunto::detail::file_bytes(folder / "a.zip");
    const auto entries = contrapunto::detail::list_zip(file);
    REQUIRE(entries.size() == 4);
    for (const auto& [name, entry] : entries)
      CHECK(contrapunto::detail::read_zip(file, name, entry) ==
            (name == "a" || name == "d" ? small : large));
    const auto bytes = read_file(folder / "a.zip");
    CHECK((bytes.find("PK\x06\x06") != std::string::npos) == (limit < 0xFFFFFFFF));
  }
}

TEST_CASE("More entries than 16 bits count are written", "[io][cpu]") {
  const TemporaryFolder folder;
  TensorMap many;
  for (int i = 0; i < 65'536; ++i) many.emplace(std::to_string(i), torch::empty({0}));
  write_npz(folder / "many.npz", many);
  CHECK(read_npz(folder / "many.npz").size() == many.size());
}

TEST_CASE("What a file of arrays cannot hold is refused before it is written", "[io][cpu]") {
  const TemporaryFolder folder;
  const auto path = folder / "a.npz";
  const auto x = torch::ones({2});
  CHECK_THROWS_WITH(write_npz(path, {{"x", x.to(at::kBool)}}), Contains("'x'") && Contains("Bool"));
  CHECK_THROWS_WITH(write_npz(path, {{"x", at::Tensor()}}), Contains("'x' is undefined"));
  CHECK_THROWS_WITH(write_npz(path, {{"x", x.to_sparse()}}), Contains("not a dense tensor"));
  CHECK_THROWS_WITH(write_npz(path, {{"ü", x}}), Contains("printable ASCII"));
  CHECK_THROWS_WITH(write_npz(path, {{"", x}}), Contains("empty"));
  CHECK_THROWS_WITH(write_npz(folder / "no/a.npz", {{"x", x}}), Contains("no/a.npz"));
  CHECK(folder.names().empty());
}
