// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/csv.hpp"

#include "support/catch.hpp"

using namespace contrapunto;
using Fields = std::vector<std::string>;

TEST_CASE("Quoted fields hold separators, quotes and line breaks", "[data][cpu]") {
  const CsvTable table(
      "filepath,title\r\na.jpg,\"one, \"\"two\"\"\nthree\"\r\n\r\n\"b.jpg\",\"\"\nc.jpg,x", ',');
  REQUIRE(table.columns() == Fields{"filepath", "title"});
  REQUIRE(table.size() == 3);
  CHECK(table.row(0) == Fields{"a.jpg", "one, \"two\"\nthree"});
  CHECK(table.row(1) == Fields{"b.jpg", ""});
  CHECK(table.row(2) == Fields{"c.jpg", "x"});
  CHECK(table.column("title") == 1);
  CHECK(table.column("caption") == -1);
}

TEST_CASE("A quote inside an unquoted field is text", "[data][cpu]") {
  const CsvTable table("f\tt\na\ta 5\" pipe\nb\tsecond \"row\"\n", '\t');
  REQUIRE(table.size() == 2);
  CHECK(table.row(0) == Fields{"a", "a 5\" pipe"});
  CHECK(table.row(1) == Fields{"b", "second \"row\""});
}

TEST_CASE("A byte order mark is skipped", "[data][cpu]") {
  CHECK(CsvTable("\xEF\xBB\xBF"
                 "a,b\n1,2\n",
                 ',')
            .columns() == Fields{"a", "b"});
}

TEST_CASE("Rows that do not fit raise with their line", "[data][cpu]") {
  const CsvTable table("a,b\n1,2\n1,2,3\n\"x\"y,2\n7,\"open\n8,9\n", ',');
  REQUIRE(table.size() == 3);
  CHECK(table.row(0) == Fields{"1", "2"});
  const auto error = [&](std::int64_t row) -> std::string {
    try {
      (void)table.row(row);
      return "no error";
    } catch (const DataError& e) {
      return e.what();
    }
  };
  CHECK(error(1) == "line 3: 3 fields, but the header has 2");
  CHECK(error(2) == "line 4: text after a closing quote");
  CHECK(table.problem() ==
        "line 5: a quote is never closed, so the 1 lines after it cannot be read");
  CHECK_FALSE(CsvTable("a\n1\n", ',').problem());
  CHECK_THROWS_AS(CsvTable("", ','), DataError);
  CHECK_THROWS_AS(CsvTable("\n\r\n", ','), DataError);
  const std::string utf16(
      "\xFF\xFE"
      "a\0,\0",
      6);
  CHECK_THROWS_WITH(CsvTable(utf16, ','),
                    "line 1: the text is UTF-16; convert it with iconv -f UTF-16 -t UTF-8");
  CHECK_THROWS_AS(CsvTable(utf16.substr(2), ','), DataError);
}
