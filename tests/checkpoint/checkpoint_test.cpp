// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/checkpoint/checkpoint.hpp"

#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "contrapunto/io/read_file.hpp"
#include "io/temporary_folder.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using contrapunto::test::TemporaryFolder;

namespace {

std::map<std::string, State> example() {
  State model;
  model.tensors["visual.proj/weight"] = torch::arange(6, at::kFloat).view({2, 3});
  model.tensors["half"] = torch::ones({2}, at::kBFloat16);
  State run;
  run.scalars = {{"step", std::int64_t{1} << 62},
                 {"minus", std::int64_t{-3}},
                 {"loss", 0.1},
                 {"whole", 2.0},
                 {"negative zero", -0.0},
                 {"tiny", 5e-324},
                 {"infinite", -std::numeric_limits<double>::infinity()},
                 {"name", std::string("ViT \"B/32\" naïve\n")}};
  return {{"model", model}, {"run", run}, {"nothing", State{}}};
}

void replace_in(const std::filesystem::path& path, const std::string& old, const std::string& now) {
  auto text = read_file(path);
  const auto at = text.find(old);
  REQUIRE(at != std::string::npos);
  write_file_atomically(path, text.replace(at, old.size(), now));
}

}  // namespace

TEST_CASE("A checkpoint gives back every tensor and every scalar with its type",
          "[checkpoint][cpu]") {
  const TemporaryFolder folder;
  const auto states = example();
  save_checkpoint(folder / "c", states);
  const auto loaded = load_checkpoint(folder / "c");
  REQUIRE(loaded.size() == 3);
  for (const auto& [part, state] : states) {
    INFO(part);
    REQUIRE((loaded.at(part).scalars == state.scalars));
    REQUIRE(loaded.at(part).tensors.size() == state.tensors.size());
    for (const auto& [name, tensor] : state.tensors) {
      REQUIRE(loaded.at(part).tensor(name).scalar_type() == tensor.scalar_type());
      REQUIRE(loaded.at(part).tensor(name).equal(tensor));
    }
  }
  REQUIRE(std::signbit(loaded.at("run").scalar<double>("negative zero")));
}

TEST_CASE("A NaN survives a checkpoint", "[checkpoint][cpu]") {
  const TemporaryFolder folder;
  State run;
  run.scalars["loss"] = std::numeric_limits<double>::quiet_NaN();
  save_checkpoint(folder / "c", {{"run", run}});
  REQUIRE(std::isnan(load_checkpoint(folder / "c").at("run").scalar<double>("loss")));
}

TEST_CASE("The same state gives the same bytes", "[checkpoint][cpu]") {
  const TemporaryFolder folder;
  save_checkpoint(folder / "a", example());
  save_checkpoint(folder / "b", example());
  for (const auto* name : {"state.safetensors", "state.json"})
    REQUIRE(read_file(folder / "a" / name) == read_file(folder / "b" / name));
}

TEST_CASE("A fault of a checkpoint is named with its file", "[checkpoint][cpu]") {
  const TemporaryFolder folder;
  const auto path = folder / "c";
  REQUIRE_THROWS_WITH(load_checkpoint(path), Contains(path.string()) && Contains("no such folder"));
  save_checkpoint(path, example());

  SECTION("missing tensors") {
    std::filesystem::remove(path / "state.safetensors");
    REQUIRE_THROWS_WITH(load_checkpoint(path),
                        Contains(path.string()) && Contains("state.safetensors is missing"));
  }
  SECTION("missing scalars") {
    std::filesystem::remove(path / "state.json");
    REQUIRE_THROWS_WITH(load_checkpoint(path), Contains("state.json is missing"));
  }
  SECTION("tensors cut off") {
    std::filesystem::resize_file(path / "state.safetensors", 100);
    REQUIRE_THROWS_WITH(load_checkpoint(path), Contains("state.safetensors has 100 bytes instead"));
  }
  SECTION("scalars cut off") {
    std::filesystem::resize_file(path / "state.json", 40);
    REQUIRE_THROWS_WITH(load_checkpoint(path), Contains("state.json is damaged"));
  }
  SECTION("another format") {
    replace_in(path / "state.json", "\"format\": 1", "\"format\": 2");
    REQUIRE_THROWS_WITH(load_checkpoint(path), Contains("is of format 2") &&
                                                   Contains("reads format 1") &&
                                                   Contains("written by \"contrapunto"));
  }
  SECTION("a number that changed") {
    replace_in(path / "state.json", "-3", "-2");
    REQUIRE_THROWS_WITH(load_checkpoint(path),
                        Contains("state.json is damaged") && Contains("another checkpoint"));
  }
  SECTION("a checksum that is missing or no checksum") {
    const auto whole = read_file(path / "state.json");
    for (const auto* name : {"parts_checksum", "tensor_checksum"}) {
      auto json = nlohmann::json::parse(whole);
      json.erase(name);
      write_file_atomically(path / "state.json", json.dump());
      REQUIRE_THROWS_WITH(load_checkpoint(path), Contains("one of its two checksums is missing"));
    }
    for (const auto& value : {nlohmann::json(-1), nlohmann::json("1"), nlohmann::json(1.5)}) {
      auto json = nlohmann::json::parse(whole);
      json["tensor_checksum"] = value;
      write_file_atomically(path / "state.json", json.dump());
      REQUIRE_THROWS_WITH(load_checkpoint(path), Contains("state.json is damaged"));
    }
  }
  SECTION("a tensor that changed") {
    auto bytes = read_file(path / "state.safetensors");
    bytes.back() = static_cast<char>(bytes.back() ^ 4);
    write_file_atomically(path / "state.safetensors", bytes);
    REQUIRE_THROWS_WITH(load_checkpoint(path), Contains(path.string()) &&
                                                   Contains("state.safetensors is damaged") &&
                                                   Contains("another checkpoint"));
    REQUIRE_THAT(checkpoint_problem(path), Contains("state.safetensors is damaged"));
  }
  SECTION("no fault") {
    REQUIRE(checkpoint_problem(path).empty());
  }
  SECTION("a tensor of no part, in a checkpoint without checksums") {
    auto json = nlohmann::json::parse(read_file(path / "state.json"));
    json.erase("parts_checksum");
    json.erase("tensor_checksum");
    write_file_atomically(path / "state.json", json.dump());
    REQUIRE(load_checkpoint(path).size() == 3);
    replace_in(path / "state.json", "\"model\"", "\"molar\"");
    REQUIRE_THROWS_WITH(load_checkpoint(path), Contains("belongs to no part"));
  }
}

TEST_CASE("A checkpoint with a truncated file is never accepted", "[checkpoint][cpu]") {
  const TemporaryFolder folder;
  save_checkpoint(folder / "c", example());
  for (const auto* name : {"state.safetensors", "state.json"}) {
    const auto whole = read_file(folder / "c" / name);
    // The last byte of state.json is a newline that nothing depends on.
    for (std::size_t length = 0; length + 1 < whole.size(); length += 7) {
      INFO(name << " cut to " << length);
      write_file_atomically(folder / "c" / name, whole.substr(0, length));
      REQUIRE_THROWS_AS(load_checkpoint(folder / "c"), c10::Error);
    }
    write_file_atomically(folder / "c" / name, whole);
  }
  REQUIRE(load_checkpoint(folder / "c").size() == 3);
}

TEST_CASE("No flipped bit of either file is taken for a checkpoint", "[checkpoint][cpu]") {
  const TemporaryFolder folder;
  save_checkpoint(folder / "c", example());
  const auto expected = load_checkpoint(folder / "c");
  for (const auto* name : {"state.safetensors", "state.json"}) {
    const auto whole = read_file(folder / "c" / name);
    for (std::size_t byte = 0; byte < whole.size(); byte += 3) {
      INFO(name << ", byte " << byte);
      auto damaged = whole;
      damaged[byte] = static_cast<char>(damaged[byte] ^ (1 << (byte % 7)));
      write_file_atomically(folder / "c" / name, damaged);
      // White space, the version and the name of a checksum are not the state.
      try {
        const auto loaded = load_checkpoint(folder / "c");
        REQUIRE(std::string(name) == "state.json");
        for (const auto& [part, state] : expected) {
          REQUIRE((loaded.at(part).scalars == state.scalars));
          for (const auto& [tensor_name, tensor] : state.tensors)
            REQUIRE(loaded.at(part).tensor(tensor_name).equal(tensor));
        }
      } catch (const c10::Error&) {
      }
    }
    write_file_atomically(folder / "c" / name, whole);
  }
}

TEST_CASE("A save that fails leaves the older checkpoint", "[checkpoint][cpu]") {
  const TemporaryFolder folder;
  save_checkpoint(folder / "c", example());
  State bad;
  bad.tensors["x"] = torch::zeros({1}, at::kComplexFloat);
  REQUIRE_THROWS_WITH(save_checkpoint(folder / "c", {{"bad", bad}}), Contains("bad/x"));
  State worse;
  worse.scalars["text"] = std::string("\xff");
  REQUIRE_THROWS_WITH(save_checkpoint(folder / "c", {{"worse", worse}}), Contains("UTF-8"));
  REQUIRE_THROWS_WITH(save_checkpoint(folder / "c", {{"a/b", State{}}}), Contains("'a/b'"));
  REQUIRE(load_checkpoint(folder / "c").size() == 3);
  REQUIRE(folder.names() == std::vector<std::string>{"c"});
}
