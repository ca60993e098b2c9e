// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/io/safetensors.hpp"

#include <cstring>
#include <limits>
#include <map>
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
         std::memcmp(a.cpu().contiguous().const_data_ptr(), b.cpu().contiguous().const_data_ptr(),
                     a.nbytes()) == 0;
}

std::string file_of(const std::string& header, const std::string& data) {
  const std::uint64_t length = header.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + header + data;
}

std::string error_of_reading(const std::string& bytes) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "bad.safetensors", bytes);
  try {
    (void)read_safetensors(folder / "bad.safetensors");
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "no error";
}

}  // namespace

TEST_CASE("Every dtype, scalar, empty tensor and stride is restored bit for bit", "[io][cpu]") {
  torch::manual_seed(1);
  TensorMap tensors;
  for (const auto type : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt,
                          at::kShort, at::kChar, at::kByte, at::kBool})
    tensors[std::string("type/") + c10::toString(type)] = (100 * torch::rand({3, 5})).to(type);
  tensors["scalar"] = torch::tensor(0.25);
  tensors["empty"] = torch::empty({0, 7});
  tensors["transposed"] = torch::randn({4, 6}).t();
  tensors["strided"] = torch::arange(20).slice(0, 0, 20, 3);
  tensors["expanded"] = torch::tensor(1.5).expand({2, 3});
  tensors["needs a gradient"] = torch::randn({2}, torch::requires_grad());
  tensors["special"] = torch::tensor(
      {std::numeric_limits<float>::quiet_NaN(), -0.0F, -std::numeric_limits<float>::infinity()});
  tensors["quoted \"naïve\" \\ name"] = torch::ones({1});

  const TemporaryFolder folder;
  write_safetensors(folder / "all.safetensors", tensors, {{"format", "pt"}, {"note", "ü"}});
  const auto read = read_safetensors(folder / "all.safetensors");
  REQUIRE(read.size() == tensors.size());
  for (const auto& [name, tensor] : tensors) {
    INFO(name);
    REQUIRE(read.count(name) == 1);
    REQUIRE(same_bits(read.at(name), tensor));
  }
  REQUIRE(read_safetensors_metadata(folder / "all.safetensors") ==
          std::map<std::string, std::string>{{"format", "pt"}, {"note", "ü"}});
}

TEST_CASE("A file without tensors is a valid file", "[io][cpu]") {
  const TemporaryFolder folder;
  write_safetensors(folder / "none.safetensors", {});
  REQUIRE(read_safetensors(folder / "none.safetensors").empty());
  REQUIRE(read_safetensors_metadata(folder / "none.safetensors").empty());
}

TEST_CASE("Tensors of every width are aligned in the file", "[io][cpu]") {
  const TemporaryFolder folder;
  write_safetensors(folder / "mixed.safetensors", {{"a", torch::ones({3}, at::kByte)},
                                                   {"b", torch::full({1}, 2.0, at::kDouble)},
                                                   {"c", torch::full({1}, 3, at::kShort)}});
  const auto bytes = read_file(folder / "mixed.safetensors");
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  REQUIRE(length % 8 == 0);
  double first = 0;
  std::memcpy(&first, bytes.data() + 8 + length, sizeof(first));
  REQUIRE(first == 2.0);
}

TEST_CASE("Every truncation of a file raises and names the file", "[io][cpu]") {
  const TemporaryFolder folder;
  write_safetensors(folder / "whole.safetensors",
                    {{"a", torch::ones({2, 3})}, {"b", torch::ones({5}, at::kByte)}},
                    {{"format", "pt"}});
  const auto bytes = read_file(folder / "whole.safetensors");
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    INFO("cut to " << length << " of " << bytes.size() << " bytes");
    REQUIRE_THAT(error_of_reading(bytes.substr(0, length)), Contains("bad.safetensors"));
  }
  REQUIRE(error_of_reading(bytes) == "no error");
  REQUIRE_THAT(error_of_reading(bytes + "x"), Contains("fill only"));
}

TEST_CASE("A change of a single header byte raises or is harmless", "[io][cpu]") {
  const TemporaryFolder folder;
  write_safetensors(folder / "whole.safetensors", {{"a", torch::ones({2, 3})}});
  const auto bytes = read_file(folder / "whole.safetensors");
  const auto data_begin = bytes.size() - 24;
  int raised = 0;
  for (std::size_t i = 0; i < data_begin; ++i)
    for (const char c : {'\0', '0', '9', '"', '{', ']', '\xff'}) {
      auto changed = bytes;
      changed[i] = c;
      raised += error_of_reading(changed) != "no error";
    }
  REQUIRE(raised > 300);
}

TEST_CASE("A header that contradicts itself is refused with file and tensor", "[io][cpu]") {
  const std::string eight(8, '\0');
  const auto entry = [](const std::string& name, const std::string& type, const std::string& shape,
                        const std::string& offsets) {
    return "\"" + name + "\":{\"dtype\":\"" + type + "\",\"shape\":[" + shape +
           "],\"data_offsets\":[" + offsets + "]}";
  };
  const auto error = [&](const std::string& entries) {
    return error_of_reading(file_of("{" + entries + "}", eight));
  };
  REQUIRE(error(entry("w", "F32", "2", "0,8")) == "no error");
  REQUIRE_THAT(error(entry("w", "F32", "2", "0,16")),
               Contains("bad.safetensors") && Contains("'w'") && Contains("outside the 8 bytes"));
  REQUIRE_THAT(error(entry("w", "F32", "2", "8,0")), Contains("'w'") && Contains("outside"));
  REQUIRE_THAT(error(entry("w", "F32", "3", "0,8")), Contains("'w'") && Contains("does not fill"));
  for (const auto* shape : {"4294967296,4294967296", "0,4611686018427387904,4611686018427387904"})
    REQUIRE_THAT(error(entry("w", "F32", shape, "0,8")),
                 Contains("'w'") && Contains("does not fill"));
  REQUIRE_THAT(error(entry("w", "F32", "-2", "0,8")), Contains("'w'") && Contains("needs a dtype"));
  REQUIRE_THAT(error(entry("w", "F32", "2.5", "0,8")), Contains("'w'"));
  REQUIRE_THAT(error(entry("w", "F32", "2", "0")), Contains("'w'") && Contains("data_offsets"));
  REQUIRE_THAT(error(entry("w", "F8_E4M3", "8", "0,8")),
               Contains("'w'") && Contains("F8_E4M3") && Contains("not supported"));
  REQUIRE_THAT(error(entry("w", "F32", "2", "0,8") + "," + entry("v", "F32", "1", "4,8")),
               Contains("'v'") && Contains("begins at byte 4"));
  REQUIRE_THAT(error(entry("w", "F32", "1", "0,4") + "," + entry("v", "U8", "1", "7,8")),
               Contains("'v'") && Contains("begins at byte 7"));
  REQUIRE_THAT(error(entry("w", "F32", "1", "0,4")), Contains("fill only 4"));
  REQUIRE_THAT(error(entry("w", "F32", "1", "0,4") + "," + entry("w", "F32", "1", "4,8")),
               Contains("'w'") && Contains("twice"));
  REQUIRE_THAT(error("\"__metadata__\":{\"a\":1}," + entry("w", "F32", "2", "0,8")),
               Contains("__metadata__") && Contains("'a'"));
  REQUIRE_THAT(error("\"w\":3"), Contains("'w'"));
  REQUIRE_THAT(error_of_reading(file_of("[1]", "")), Contains("not a JSON object"));
  REQUIRE_THAT(error_of_reading(file_of("{\"w\"", "")), Contains("not valid JSON"));
}

TEST_CASE("A tensor that the format cannot store is refused by name before a file is written",
          "[io][cpu]") {
  const TemporaryFolder folder;
  const auto path = folder / "x.safetensors";
  REQUIRE_THROWS_WITH(write_safetensors(path, {{"c", torch::zeros({1}, at::kComplexFloat)}}),
                      Contains("'c'") && Contains("ComplexFloat"));
  REQUIRE_THROWS_WITH(write_safetensors(path, {{"u", at::Tensor()}}),
                      Contains("'u'") && Contains("undefined"));
  REQUIRE_THROWS_WITH(write_safetensors(path, {{"s", torch::eye(3).to_sparse()}}),
                      Contains("'s'") && Contains("dense"));
  REQUIRE_THROWS_WITH(write_safetensors(path, {{"__metadata__", torch::ones({1})}}),
                      Contains("reserves"));
  REQUIRE_THROWS_WITH(write_safetensors(path, {{"\xff", torch::ones({1})}}), Contains("UTF-8"));
  REQUIRE(folder.names().empty());
}

TEST_CASE("Tensors on a CUDA device are written like their copies", "[io][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device");
    return;
  }
  const TemporaryFolder folder;
  const auto tensor = torch::randn({3, 4});
  write_safetensors(folder / "x.safetensors", {{"x", tensor.cuda().t()}});
  REQUIRE(same_bits(read_safetensors(folder / "x.safetensors").at("x"), tensor.t()));
}
