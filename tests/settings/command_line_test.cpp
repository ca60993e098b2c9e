// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#ifdef CONTRAPUNTO_HAS_CLI
#include "contrapunto/settings/command_line.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "io/temporary_folder.hpp"
#include "settings/example_settings.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using contrapunto::test::ExampleSettings;
using contrapunto::test::TemporaryFolder;

namespace {

struct Program : ExampleSettings {
  Program() { add_to_command_line(app, table); }

  void parse(std::vector<std::string> arguments) {
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
    app.parse(std::move(arguments));
  }

  /// Parses what a file with `text` says, then `arguments`.
  void parse_file(const std::string& text, std::vector<std::string> arguments = {}) {
    const TemporaryFolder folder;
    std::ofstream(folder / "run.toml") << text;
    arguments.insert(arguments.end(), {"--config", (folder / "run.toml").string()});
    parse(std::move(arguments));
  }

  CLI::App app{"A program."};
};

}  // namespace

TEST_CASE("The command line sets every kind of setting", "[settings][cpu]") {
  Program p;
  p.parse({"--train-data", "a.tar", "--flip", "--batch-size=64", "--ema", "0.999", "--templates",
           "a {}.", "the {}.", "--seed", "7"});
  CHECK(p.train_data == "a.tar");
  CHECK(p.flip);
  CHECK(p.batch_size == 64);
  CHECK(p.ema == 0.999);
  CHECK(p.templates == std::vector<std::string>{"a {}.", "the {}."});
  CHECK(p.seed == 7);
  CHECK(p.lr == 5e-4);
}

TEST_CASE("A switch is turned on and off as users of CLI11 expect", "[settings][cpu]") {
  const auto flip = [](bool before, std::vector<std::string> arguments) {
    Program p;
    p.flip = before;
    p.parse(std::move(arguments));
    return p.flip;
  };
  CHECK(flip(false, {"--flip"}));
  CHECK(flip(false, {"--flip=true"}));
  CHECK_FALSE(flip(true, {"--no-flip"}));
  CHECK_FALSE(flip(true, {"--flip=false"}));
  CHECK(flip(true, {}));
  CHECK_FALSE(flip(false, {}));
}

TEST_CASE("Mistakes on the command line name the setting, the value and what is allowed",
          "[settings][cpu]") {
  CHECK_THROWS_WITH(Program().parse({"--batch-size", "1"}),
                    Contains("batch-size is 1; it must be at least 2"));
  CHECK_THROWS_WITH(Program().parse({"--ema", "-1"}), Contains("ema is -1; it must be at least 0"));
  CHECK_THROWS_WITH(Program().parse({"--ema", "nan"}), Contains("must be a finite number"));
  CHECK_THROWS_WITH(Program().parse({"--loss", "nce"}), Contains("infonce, sigmoid"));
  CHECK_THROWS_WITH(Program().parse({"--beta2", "0.98"}), Contains("--beta2"));
  CHECK_THROWS_AS(Program().parse({"--ema", "-1"}), CLI::ParseError);
}

TEST_CASE("A TOML file sets the settings, and the command line overrides it", "[settings][cpu]") {
  Program p;
  p.parse_file(
      "# A whole run.\n"
      "train-data = \"cc3m-{0000..0575}.tar\"  # WebDataset\n"
      "batch-size = 1_024   # pairs\n"
      "lr = 1e-3\n"
      "\n"
      "flip = true\n"
      "loss = 'sigmoid'\n"
      "warmup = \"500 steps\"\n"
      "templates = [\"a photo of a {}.\", \"a {}, up close\"]\n",
      {"--lr", "2e-3"});
  CHECK(p.train_data == "cc3m-{0000..0575}.tar");
  CHECK(p.batch_size == 1024);
  CHECK(p.lr == 2e-3);
  CHECK(p.flip);
  CHECK(p.loss == "sigmoid");
  CHECK(p.warmup == "500 steps");
  CHECK(p.templates == std::vector<std::string>{"a photo of a {}.", "a {}, up close"});

  Program off;
  off.parse_file("flip = true\n", {"--no-flip"});
  CHECK_FALSE(off.flip);
  Program empty;
  empty.parse_file("templates = []\n");
  CHECK(empty.templates.empty());
  Program list;
  list.parse_file("templates = [\"a\", \"b\"]\n", {"--templates", "c"});
  CHECK(list.templates == std::vector<std::string>{"c"});
}

TEST_CASE("Mistakes in a file name the file and the setting", "[settings][cpu]") {
  const auto mistake = [](const std::string& text, const std::string& message) {
    INFO(text);
    CHECK_THROWS_WITH(Program().parse_file(text), Contains("run.toml") && Contains(message));
  };
  mistake("bath-size = 64\n", "there is no setting 'bath-size'; see --help");
  mistake("batch_size = 64\n", "there is no setting 'batch_size'; write 'batch-size'");
  mistake("batch-size = 1\n", "batch-size is 1; it must be at least 2");
  mistake("batch-size = 64\nlr = 1\nbatch-size = 32\n", "'batch-size' comes twice");
  mistake("batch-size = 64\nbatch-size = 32\n", "batch-size takes one value, got 2");
  mistake("[data]\nbatch-size = 64\n", "'data.batch-size' is in a section");
  mistake("templates = [\n  \"a {}.\", \"the {}.\",\n]\n", "an array must stand on one line");
  mistake("train-data = \"a#b\"\n", "its quotes do not match");
  mistake("flip = yes please\n", "flip takes one value");
  mistake("config = \"other.toml\"\n", "there is no setting 'config'");
  CHECK_THROWS_WITH(Program().parse({"--config", "no/such.toml"}), Contains("no/such.toml"));
}

TEST_CASE("The help shows sections, units, allowed values and defaults", "[settings][cpu]") {
  Program p;
  const auto help = p.app.help();
  for (const auto* part : {"Data:", "Optimization:", "--batch-size INT", "256", "(at least 2)",
                           "infonce, sigmoid", "--config FILE", "--no-flip", "a photo of a {}."})
    CHECK_THAT(help, Contains(part));
  CHECK(help.find("Data:") < help.find("Optimization:"));
  INFO(help);
  CHECK(help.find("--seed") > help.find("Optimization:"));
}
#endif
