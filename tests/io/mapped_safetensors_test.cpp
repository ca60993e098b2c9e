// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/io/mapped_safetensors.hpp"

#include <cstring>
#include <filesystem>

#include "contrapunto/io/safetensors.hpp"
#include "io/temporary_folder.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

TEST_CASE("A mapped file has the bytes of its tensors, aligned", "[io][cpu]") {
  const test::TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  const TensorMap tensors = {{"half", torch::randn({3, 5}).to(torch::kHalf)},
                             {"long", torch::arange(7)},
                             {"byte", torch::arange(3).to(torch::kByte)},
                             {"empty", torch::empty({0, 4})}};
  write_safetensors(path, tensors, {{"note", "x"}});
  const MappedSafetensors file(path);
  CHECK(file.metadata().at("note") == "x");
  for (const auto& [name, tensor] : tensors) {
    const auto& view = file.at(name, tensor.scalar_type(), tensor.sizes().vec());
    REQUIRE(view.bytes.size() == tensor.nbytes());
    CHECK(std::memcmp(view.bytes.data(), tensor.const_data_ptr(), tensor.nbytes()) == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(view.bytes.data()) % tensor.element_size() == 0);
  }
  CHECK_THROWS_WITH(file.at("none", torch::kFloat, {1}), Contains("no tensor 'none'"));
  CHECK_THROWS_WITH(file.at("long", torch::kInt, {7}), Contains("tensor 'long'"));
  CHECK_THROWS_WITH(file.at("long", torch::kLong, {8}), Contains("instead of"));
}

TEST_CASE("A mapped file stays readable after it is replaced", "[io][cpu]") {
  const test::TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  write_safetensors(path, {{"x", torch::zeros({4})}});
  const MappedSafetensors file(path);
  write_safetensors(path, {{"x", torch::ones({4})}});
  float first = 1.0F;
  std::memcpy(&first, file.at("x", torch::kFloat, {4}).bytes.data(), sizeof first);
  CHECK(first == 0.0F);
}

TEST_CASE("A file that cannot be mapped is named", "[io][cpu]") {
  const test::TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  CHECK_THROWS_WITH(MappedSafetensors(path), Contains(path.string()));
  write_safetensors(path, {{"x", torch::zeros({400})}});
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  CHECK_THROWS_WITH(MappedSafetensors(path), Contains(path.string()) && Contains("truncated"));
}

TEST_CASE("Mapped tensors are those that were written, and keep the file mapped", "[io][cpu]") {
  const test::TemporaryFolder folder;
  const auto path = folder / "weights.safetensors";
  // The byte before the floats leaves them at an odd place.
  const TensorMap written{{"a", at::arange(3, at::kByte)},         {"b", at::randn({2, 3})},
                          {"c", at::randn({5}).to(at::kBFloat16)}, {"d", at::arange(4, at::kLong)},
                          {"e", at::arange(4, at::kLong).ne(2)},   {"f", at::zeros({0, 4})},
                          {"g", at::full({}, 0.5, at::kDouble)}};
  write_safetensors(path, written);
  const auto mapped = map_safetensors(path);
  std::filesystem::remove(path);
  REQUIRE(mapped.size() == written.size());
  for (const auto& [name, tensor] : written) {
    CAPTURE(name);
    CHECK(mapped.at(name).scalar_type() == tensor.scalar_type());
    CHECK(at::equal(mapped.at(name), tensor));
  }
  write_file_atomically(path, "short");
  CHECK_THROWS(map_safetensors(path));
}
