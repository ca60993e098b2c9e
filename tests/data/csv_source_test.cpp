// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/csv_source.hpp"

#include <sys/stat.h>

#include "data/contains.hpp"
#include "data/tar_writer.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("A list gives the images beside it and their captions", "[data][cpu]") {
  const test::TemporaryFolder folder;
  folder.write("images/a.jpg", "IMAGE");
  const auto absolute = folder.write("b.jpg", "OTHER");
  const auto list =
      folder.write("list.tsv", "title\tfilepath\tclass\nfirst\timages/a.jpg\t3\nsecond\t" +
                                   absolute + "\tx\nthird\tmissing.jpg\t1\n");
  const CsvSource source(list, {.label_column = "class"});
  REQUIRE(source.size() == 3);
  const EncodedSample sample = source.read(0);
  CHECK(std::string(sample.image.begin(), sample.image.end()) == "IMAGE");
  CHECK(sample.captions == std::vector<std::string>{"first"});
  CHECK(sample.label == 3);
  CHECK(source.label(0) == 3);
  CHECK(source.label(2) == 1);  // the image need not be there
  CHECK(sample.key == "images/a.jpg");
  CHECK(CsvSource(list).read(1).image.size() == 5);
  CHECK_THROWS_AS(source.read(1), DataError);  // its label is no number
  CHECK_THROWS_AS(source.read(2), DataError);  // its image is missing
}

TEST_CASE("A list that does not fit raises and says what it holds", "[data][cpu]") {
  const test::TemporaryFolder folder;
  CHECK_THROWS_WITH(CsvSource(folder / "none.csv"), test::contains("there is no such file"));
  CHECK_THROWS_WITH(CsvSource(folder.write("a.csv", "url,caption\nx,y\n")),
                    test::contains("no column 'filepath'; its columns are 'url', 'caption'"));
  CHECK_THROWS_WITH(CsvSource(folder.write("b.csv", "filepath,title\n")),
                    test::contains("no rows"));
  CHECK_THROWS_WITH(CsvSource(folder.write("c.csv", "")), test::contains("no header row"));
  CHECK_THROWS_WITH(CsvSource(folder.write("d.csv", "url\x1b[2J,x\n1,2\n")),
                    test::contains("'url\\x1b[2J', 'x'"));
  CHECK_THROWS_WITH(CsvSource(folder.write("e.csv", "filepath,title\na.jpg,\"open\nb.jpg,x\n")),
                    test::contains("no rows; line 2: a quote is never closed"));
}

TEST_CASE("A quote that is never closed is named when a list is opened", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto list = folder.write("a.csv", "filepath,title\na.jpg,one\nb.jpg,\"two\nc.jpg,x\n");
  const CsvSource source(list);
  CHECK(source.size() == 1);
  REQUIRE(source.report().skipped == 1);
  CHECK(source.report().first[0] ==
        list + ": line 3: a quote is never closed, so the 1 lines after it cannot be read");
}

TEST_CASE("A FIFO in a table is refused without waiting for it", "[data][cpu]") {
  const test::TemporaryFolder folder;
  REQUIRE(::mkfifo((folder / "pipe.jpg").c_str(), 0600) == 0);
  const CsvSource source(folder.write("a.csv", "filepath,title\npipe.jpg,x\n"));
  CHECK_THROWS_WITH(source.read(0), test::contains("not a regular file"));
}

TEST_CASE("A list of URLs is refused with the remedy", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto list = folder.write("a.csv", "filepath,title\nhttps://example.org/a.jpg,one\n");
  CHECK_THROWS_WITH(CsvSource(list),
                    test::contains("https://example.org/a.jpg") && test::contains("img2dataset"));
}

TEST_CASE("Columns of captions have the probabilities that are named", "[data][cpu]") {
  const test::TemporaryFolder folder;
  folder.write("a.jpg", "IMAGE");
  const auto list = folder.write("a.csv", "filepath,title,long\na.jpg,one,two\na.jpg,,three\n");
  const CsvSource source(list,
                         {.caption_columns = {"title", "long"}, .caption_weights = {0.2, 0.6}});
  CHECK(source.read(0).caption_weights == std::vector{0.2, 0.6});
  CHECK(source.read(1).captions == std::vector<std::string>{"three"});
  CHECK(source.read(1).caption_weights == std::vector{0.6});
  CHECK(CsvSource(list).read(0).caption_weights.empty());
  CHECK_THROWS_WITH(CsvSource(list, {.caption_weights = {0.5, 0.5}}),
                    test::contains("2 caption weights for 1 caption fields"));
  CHECK_THROWS_WITH(CsvSource(list, {.caption_weights = {-1}}), test::contains("'title' is -1"));
  CHECK_THROWS_WITH(CsvSource(list, {.caption_weights = {0}}), test::contains("weights are 0"));
}
