// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/log/format.hpp"

#include <cstdint>
#include <limits>

#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("Numbers are grouped by thousands", "[log][cpu]") {
  CHECK(with_commas(0) == "0");
  CHECK(with_commas(999) == "999");
  CHECK(with_commas(1000) == "1,000");
  CHECK(with_commas(-123456) == "-123,456");
  CHECK(with_commas(12'345'678) == "12,345,678");
  CHECK(with_commas(std::numeric_limits<std::int64_t>::min()) == "-9,223,372,036,854,775,808");
}

TEST_CASE("Durations, bytes and fractions are formatted for reading", "[log][cpu]") {
  CHECK(as_duration(0) == "0:00");
  CHECK(as_duration(59.6) == "1:00");
  CHECK(as_duration(754) == "12:34");
  CHECK(as_duration(3723) == "1:02:03");
  CHECK(as_duration(273906) == "3d 04:05:06");
  CHECK(as_duration(-1) == "?");
  CHECK(as_duration(std::numeric_limits<double>::quiet_NaN()) == "?");
  CHECK(as_duration(std::numeric_limits<double>::infinity()) == "?");
  CHECK(as_bytes(512) == "512 B");
  CHECK(as_bytes(1536) == "1.5 KiB");
  CHECK(as_bytes(80.0 * 1024 * 1024 * 1024) == "80.0 GiB");
  CHECK(as_percent(0.125) == "12.5 %");
  CHECK(with_digits(5e-4, 3) == "0.0005");
  CHECK(with_decimals(14.285, 1) == "14.3");
}
