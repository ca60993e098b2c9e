// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/settings/settings_json.hpp"

#include <string>
#include <vector>

#include "settings/example_settings.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using contrapunto::test::ExampleSettings;

namespace {

/// The contents of a file after it was written and read.
nlohmann::json written(const SettingsTable& table) {
  return nlohmann::json::parse(to_json(table).dump(2));
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("Settings as JSON keep their types and values", "[settings][cpu]") {
  ExampleSettings s;
  s.seed = 18446744073709551615u;
  s.lr = 1.0 / 3;
  const auto json = written(s.table);
  REQUIRE(json.size() == 10);
  CHECK(json["seed"].get<std::uint64_t>() == s.seed);
  CHECK(json["lr"].get<double>() == s.lr);
  CHECK(json["flip"] == false);
  CHECK(json["templates"] == s.templates);
}

TEST_CASE("The same settings have no differences", "[settings][cpu]") {
  ExampleSettings s;
  s.lr = 1.0 / 3;
  s.templates = {"a {}.", "b {}."};
  CHECK(setting_differences(s.table, written(s.table)).empty());
  CHECK(setting_differences(s.table, std::filesystem::path()).empty());  // a new run
  // A whole number in a file that people edit is the same number.
  auto json = written(s.table);
  s.ema = 0.0;
  json["ema"] = 0;
  CHECK(setting_differences(s.table, json).empty());
}

TEST_CASE("Settings that must not change are listed with both values", "[settings][cpu]") {
  ExampleSettings s;
  const auto earlier = written(s.table);
  s.threads = 9;  // may change
  CHECK(setting_differences(s.table, earlier).empty());
  s.batch_size = 128;
  s.flip = true;
  s.train_data = "";
  s.templates = {"a {}."};
  s.lr = 1e-3;
  CHECK(setting_differences(s.table, earlier) ==
        Lines{"train-data was synthetic, is empty",
              R"(templates was ["a photo of a {}."], is ["a {}."])", "flip was false, is true",
              "batch-size was 256, is 128", "lr was 0.0005, is 0.001"});
}

TEST_CASE("A setting that one of two programs lacks is a difference when it matters",
          "[settings][cpu]") {
  ExampleSettings s;
  auto earlier = written(s.table);
  earlier.erase("ema");
  CHECK(setting_differences(s.table, earlier).empty());  // it has its default
  s.ema = 0.5;
  earlier["mixup"] = 0.2;
  CHECK(
      setting_differences(s.table, earlier) ==
      Lines{"ema was not recorded, is 0.5", "mixup was 0.2, and this program has no such setting"});
  CHECK_THROWS_WITH(setting_differences(s.table, nlohmann::json(3)), Contains("are number"));
}
