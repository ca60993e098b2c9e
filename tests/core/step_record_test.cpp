// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/core/step_record.hpp"

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

struct Steps {
  std::vector<std::int64_t> seen;
  void on_step(const StepRecord& record) { seen.push_back(record.step); }
};

struct Evaluations {
  std::vector<double> seen;
  void on_evaluation(const StepRecord& record) { seen.push_back(*record.find("top1")); }
};

}  // namespace

TEST_CASE("A record holds the loss, its parts and whatever else is added, in order",
          "[core][cpu]") {
  StepRecord record{.step = 3};
  record.add(LossTerms(torch::tensor(2.5), {{"affinity", torch::tensor(1.5)}})).add("lr", 1e-3);
  std::vector<std::string> names;
  for (const auto& [name, _] : record.values) names.push_back(name);
  REQUIRE(names == std::vector<std::string>{"loss", "loss/affinity", "lr"});
  REQUIRE(record.find("loss/affinity") == 1.5);
  REQUIRE_FALSE(record.find("scale"));
  REQUIRE_THROWS_WITH(record.add("lr", 2.0), Contains("step 3") && Contains("'lr'"));
}

TEST_CASE("Each sink gets the records that it can take", "[core][cpu]") {
  Steps steps;
  Evaluations evaluations;
  notify({1, {{"loss", 1.0}}}, steps, evaluations);
  notify({2, {{"loss", 1.0}}}, steps);
  notify_evaluation({2, {{"top1", 0.5}}}, evaluations, steps);
  REQUIRE(steps.seen == std::vector<std::int64_t>{1, 2});
  REQUIRE(evaluations.seen == std::vector<double>{0.5});
}

TEST_CASE("A loss that is not finite ends a run, unless a loss scaler skips the step",
          "[core][cpu]") {
  const StepRecord record{7, {{"loss", std::numeric_limits<double>::quiet_NaN()}}};
  REQUIRE_THROWS_WITH(check_loss_is_finite(record), Contains("nan at step 7"));
  REQUIRE_NOTHROW(check_loss_is_finite(record, /*may_overflow=*/true));
  REQUIRE_NOTHROW(check_loss_is_finite({8, {{"loss", 1.0}}}));
}

TEST_CASE("A record takes the values of a measurement", "[core][cpu]") {
  struct Measured {
    [[nodiscard]] std::vector<std::pair<std::string, double>> values() const {
      return {{"samples_per_second", 12.5}, {"data_wait_fraction", 0.25}};
    }
  };
  StepRecord record{.step = 3};
  record.add("lr", 1e-3).add(Measured());
  CHECK(record.values.size() == 3);
  CHECK(record.find("data_wait_fraction") == 0.25);
}
