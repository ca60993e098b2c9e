// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/folder_source.hpp"

#include "data/contains.hpp"
#include "data/tar_writer.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Texts = std::vector<std::string>;

TEST_CASE("Folders are classes in alphabetical order", "[data][cpu]") {
  const test::TemporaryFolder folder;
  folder.write("polar_bear/deep/2.PNG", "BEAR");
  folder.write("ant/1.jpg", "ANT");
  folder.write("ant/readme.txt", "");
  std::filesystem::create_directories(folder / "empty");
  const FolderSource source(folder / "", {.caption_templates = {"a {}.", "{}, {}"}});
  REQUIRE(source.size() == 2);
  CHECK(source.class_names() == Texts{"ant", "empty", "polar bear"});
  CHECK(source.read(0).label == 0);
  const EncodedSample bear = source.read(1);
  CHECK(bear.label == 2);
  CHECK(bear.key == "polar_bear/deep/2.PNG");
  CHECK(bear.captions == Texts{"a polar bear.", "polar bear, polar bear"});
  CHECK(source.report().skipped == 1);
}

TEST_CASE("Broken links and links back into the folder are left out and named", "[data][cpu]") {
  namespace fs = std::filesystem;
  const test::TemporaryFolder folder;
  const test::TemporaryFolder elsewhere;
  elsewhere.write("1.jpg", "DOG");
  folder.write("root/cat/1.jpg", "CAT");
  const fs::path root = folder / "root";
  fs::create_symlink("me.jpg", root / "cat" / "me.jpg");
  fs::create_symlink("self", root / "self");
  fs::create_symlink(".", root / "loop");
  fs::create_symlink("..", root / "up");
  fs::create_symlink("cat", root / "kitten");
  fs::create_symlink("..", root / "cat" / "deep");
  fs::create_symlink(elsewhere / "", root / "dog");
  const FolderSource source(root.string());
  CHECK(source.class_names() == Texts{"cat", "dog"});
  CHECK(source.size() == 2);
  CHECK(source.label(1) == 1);
  CHECK(source.report().skipped == 5);  // me.jpg, self, loop, up, kitten
}

TEST_CASE("A folder without images raises", "[data][cpu]") {
  const test::TemporaryFolder folder;
  folder.write("cat/notes.txt", "");
  CHECK_THROWS_WITH(FolderSource(folder / ""), test::contains("expected CLASS/NAME.jpg"));
  CHECK_THROWS_WITH(FolderSource(folder / "none"), test::contains("not a directory"));
  folder.write("cat/1.jpg", "CAT");
  CHECK_THROWS_WITH(FolderSource(folder / "", {.caption_templates = {"a photo"}}),
                    test::contains("no {} for the class name"));
}
