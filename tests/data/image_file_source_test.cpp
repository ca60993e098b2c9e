// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/image_file_source.hpp"

#include "data/contains.hpp"
#include "data/tar_writer.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Texts = std::vector<std::string>;

TEST_CASE("The images of a folder come in the order of their names", "[data][cpu]") {
  const test::TemporaryFolder folder;
  folder.write("b.jpg", "BB");
  folder.write("c/deep/1.WEBP", "C");
  folder.write("a.png", "AAA");
  folder.write("notes.txt", "");
  std::filesystem::create_symlink("missing.jpg", std::filesystem::path(folder / "broken.jpg"));
  const ImageFileSource source(folder / "");
  REQUIRE(source.names() == Texts{"a.png", "b.jpg", "c/deep/1.WEBP"});
  REQUIRE(source.size() == 3);
  const EncodedSample first = source.read(0);
  CHECK(first.key == "a.png");
  CHECK(first.image == std::vector<std::uint8_t>{'A', 'A', 'A'});
  CHECK(first.captions.empty());
  CHECK_FALSE(source.label(0));
  CHECK(source.read_without_image(1).image_bytes == 2);
  CHECK(source.shards().size() == 1);
  CHECK(source.report().skipped == 1);
  CHECK_THROWS_WITH(source.read(3), test::contains("image 3 of 3"));
}

TEST_CASE("Chosen images keep their order, and a missing one can be skipped", "[data][cpu]") {
  const test::TemporaryFolder folder;
  folder.write("b.jpg", "BB");
  folder.write("a.jpg", "A");
  const ImageFileSource source(folder / "", {"b.jpg", "gone.jpg", "a.jpg"});
  CHECK(source.read(0).key == "b.jpg");
  CHECK(source.read(2).key == "a.jpg");
  CHECK_THROWS_AS(source.read(1), DataError);
}

TEST_CASE("A folder without image files raises", "[data][cpu]") {
  const test::TemporaryFolder folder;
  folder.write("notes.txt", "");
  CHECK_THROWS_WITH(ImageFileSource(folder / ""), test::contains("contains no image"));
  CHECK_THROWS_WITH(ImageFileSource(folder / "none"), test::contains("not a directory"));
}
