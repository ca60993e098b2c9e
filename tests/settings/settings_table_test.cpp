// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/settings/settings_table.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/settings/run_settings.hpp"
#include "settings/example_settings.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using contrapunto::test::ExampleSettings;

namespace {

void set(ExampleSettings& s, const std::string& name, const std::string& value) {
  s.table.find(name)->set({value});
}

}  // namespace

TEST_CASE("A setting sets its variable from text", "[settings][cpu]") {
  ExampleSettings s;
  set(s, "train-data", "a-{000..019}.tar");
  set(s, "flip", "true");
  set(s, "batch-size", "32_768");
  set(s, "lr", "+1e-3");
  set(s, "seed", "18446744073709551615");
  s.table.find("templates")->set({"a {}.", "the {}, and more"});
  CHECK(s.train_data == "a-{000..019}.tar");
  CHECK(s.flip);
  CHECK(s.batch_size == 32'768);
  CHECK(s.lr == 1e-3);
  CHECK(s.seed == std::numeric_limits<std::uint64_t>::max());
  CHECK(s.templates == std::vector<std::string>{"a {}.", "the {}, and more"});
  s.table.find("templates")->set({});
  CHECK(s.templates.empty());
}

TEST_CASE("Every number that is written reads back as itself", "[settings][cpu]") {
  ExampleSettings s;
  for (const double value : {0.1, 1.0 / 3, 5e-4, 1e300, 4.9e-324}) {
    s.lr = value;
    const auto text = s.table.find("lr")->text();
    s.lr = 1.0;
    set(s, "lr", text);
    CHECK(s.lr == value);
  }
}

TEST_CASE("A setting refuses a value with its name, the value and what is allowed",
          "[settings][cpu]") {
  ExampleSettings s;
  const std::pair<const char*, std::pair<const char*, const char*>> cases[] = {
      {"batch-size", {"1", "batch-size is 1; it must be at least 2"}},
      {"batch-size", {"1e3", "batch-size is '1e3'; it must be a whole number"}},
      {"batch-size", {"12 pairs", "must be a whole number"}},
      {"batch-size", {"99999999999999999999", "must be a whole number"}},
      {"batch-size", {"", "batch-size is ''"}},
      {"seed", {"-1", "seed is '-1'; it must be a whole number that is not negative"}},
      {"loss", {"nce", "loss is 'nce'; it must be one of: infonce, sigmoid"}},
      {"ema", {"-1", "ema is -1; it must be at least 0"}},
      {"ema", {"1", "ema is 1; it must be below 1"}},
      {"ema", {"nan", "ema is 'nan'; it must be a finite number"}},
      {"lr", {"inf", "lr is 'inf'; it must be a finite number"}},
      {"lr", {"1e999", "must be a finite number"}},
      {"lr", {"0", "lr is 0; it must be above 0"}},
      {"lr", {"+-1", "must be a finite number"}},
      {"flip", {"maybe", "flip is 'maybe'; it must be true or false"}},
      {"warmup", {"soon", "warmup is 'soon'; write for example 5%"}},
  };
  for (const auto& [name, expected] : cases) {
    INFO(name << " = " << expected.first);
    const auto before = s.table.find(name)->text();
    CHECK_THROWS_WITH(set(s, name, expected.first), Contains(expected.second));
    CHECK(s.table.find(name)->text() == before);
  }
  CHECK_THROWS_WITH(s.table.find("lr")->set({"1", "2"}),
                    Contains("lr takes one value, got 2: 1, 2"));
}

TEST_CASE("A default that its own check refuses raises when the setting is described",
          "[settings][cpu]") {
  SettingsTable table;
  std::int64_t steps = 0;
  double rate = std::nan("");
  std::string word = "c";
  std::vector<std::string> words = {"a", "c"};
  CHECK_THROWS_WITH(table.add("steps", steps, "").check(in_range(1, 8)),
                    Contains("steps is 0; it must be from 1 to 8"));
  CHECK_THROWS_WITH(table.add("rate", rate, ""), Contains("rate is nan"));
  CHECK_THROWS_WITH(table.add("word", word, "").one_of({"", "a"}), Contains("one of: empty, a"));
  CHECK_THROWS_WITH(table.add("words", words, "").one_of({"a", "b"}), Contains("words is 'c'"));
}

TEST_CASE("Names of settings are checked, and a check must fit the kind of setting",
          "[settings][cpu]") {
  SettingsTable table;
  std::int64_t number = 0;
  std::string text;
  bool on = false;
  for (const auto* name : {"", "-x", "Batch", "batch_size", "batch size"})
    CHECK_THROWS_WITH(table.add(name, number, ""), Contains("'" + std::string(name) + "'"));
  table.add("n", number, "");
  CHECK_THROWS_WITH(table.add("n", text, ""), Contains("two settings named 'n'"));
  CHECK_THROWS_WITH(table.find("n")->one_of({"1"}), Contains("only texts"));
  CHECK_THROWS_WITH(table.add("t", text, "").check(at_least(1)), Contains("only numbers"));
  CHECK_THROWS_WITH(table.add("b", on, "").check(at_least(1)), Contains("only numbers"));
  CHECK_THROWS_WITH(in_range(2, 1), Contains("in_range"));
  CHECK(table.find("other") == nullptr);
}

TEST_CASE("Ranks compare the settings that belong to what is computed", "[settings][cpu]") {
  ExampleSettings s;
  const auto compared = setting_values(s.table);
  REQUIRE(compared.size() == 9);  // all but threads
  CHECK(compared.front() == std::pair<std::string, std::string>("train-data", "synthetic"));
  for (const auto& [name, value] : compared) CHECK(name != "threads");
  s.batch_size = 64;
  CHECK(setting_values(s.table)[3] == std::pair<std::string, std::string>("batch-size", "64"));
}

TEST_CASE("The settings of every trainer may change when a run resumes", "[settings][cpu]") {
  struct Settings : RunSettings {
    double lr = 0.1;
  } s;
  s.output = "runs/mine";
  SettingsTable table;
  table.add("lr", s.lr, "learning rate");
  add_run_settings(table, s);
  const auto fixed = setting_values(table);
  REQUIRE(fixed.size() == 1);
  CHECK(fixed[0].first == "lr");
  CHECK(table.find("output")->text() == "runs/mine");
  CHECK(s.last_step(100) == 100);
  table.find("stop-after")->set({"7"});
  CHECK(s.last_step(100) == 7);
  CHECK(s.last_step(5) == 5);
  for (const auto* name : {"log-every", "save-every"})
    CHECK_THROWS_WITH(table.find(name)->set({"0"}), Contains("at least 1"));
  CHECK_THROWS_WITH(table.find("stop-after")->set({"-1"}), Contains("at least 0"));
}

TEST_CASE("The help says which values are allowed", "[settings][cpu]") {
  const ExampleSettings s;
  CHECK(s.table.find("ema")->help() == "decay of averaged weights; 0: none (at least 0, below 1)");
  CHECK(s.table.find("loss")->help() == "what is minimized (infonce, sigmoid)");
  CHECK(s.table.find("flip")->help() == "mirror every second image");
}
