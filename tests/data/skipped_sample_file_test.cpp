// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/skipped_sample_file.hpp"

#include <sstream>

#include "contrapunto/io/read_file.hpp"
#include "data/tar_writer.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("Skipped samples are listed once each, also after a resume", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto path = folder / "skipped.txt";
  std::ostringstream out;
  {
    SkippedSampleFile skipped(out, 2);
    const std::function<void(const SkippedSample&)> on_skip = skipped;
    on_skip({7, "a.tar: 7: broken"});  // Before the file is known.
    skipped.open(path);
    on_skip({12, "a.tar: 12: broken"});
    on_skip({9, "b.tar: 9: no caption"});
    CHECK(read_file(path) ==
          "7\ta.tar: 7: broken\n12\ta.tar: 12: broken\n9\tb.tar: 9: no caption\n");
    CHECK(out.str() ==
          "skipped a.tar: 7: broken\nskipped a.tar: 12: broken\nfurther skipped samples are not "
          "shown here\n");
  }
  SkippedSampleFile resumed(out);
  resumed.open(path);
  resumed({12, "a.tar: 12: broken"});
  resumed({13, "a.tar: 13: broken"});
  CHECK(read_file(path).ends_with("no caption\n13\ta.tar: 13: broken\n"));
}

TEST_CASE("Without a skipped sample there is no file, and one that cannot be written is named",
          "[data][cpu]") {
  const test::TemporaryFolder folder;
  std::ostringstream out;
  SkippedSampleFile skipped(out);
  skipped.open(folder / "skipped.txt");
  CHECK_FALSE(std::filesystem::exists(folder / "skipped.txt"));
  const auto path = folder / "none/skipped.txt";
  skipped.open(path);
  skipped({1, "a"});
  skipped({2, "b"});
  CHECK(out.str() ==
        "skipped a\ncannot write '" + path + "'; skipped samples are not listed\nskipped b\n");
}
