// SPDX-License-Identifier: CC0-1.0
// Writes the index of each WebDataset shard, so that training starts within seconds. Training does
// the same when it sees a shard for the first time. Several processes share the work.
//
//   index_shards --data 'laion400m/{00000..41454}.tar'
//
// Expect the numbers of shards and samples, and a line for each sample that cannot be used.
#include <CLI/CLI.hpp>
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

namespace {

struct Settings {
  std::string data, folder, stage_folder;
  std::int64_t threads = 16;
};

cp::SettingsTable describe(Settings& s) {
  cp::SettingsTable t;
  t.section("Data");
  t.add("data", s.data, "shards: a folder or patterns joined by '::'");
  t.add("index-folder", s.folder, "folder for the indexes; empty: beside each shard");
  t.add("stage-folder", s.stage_folder, "folder for the output of shards 'pipe:COMMAND'");
  t.add("threads", s.threads, "shards that are read at the same time").check(cp::at_least(1));
  return t;
}

void index(const Settings& s) {
  TORCH_CHECK(!s.data.empty(), "--data is needed");
  const auto shards = cp::list_shards(s.data);
  std::optional<cp::ShardStage> stage;
  if (!s.stage_folder.empty()) stage.emplace(shards, cp::ShardStageOptions{s.stage_folder});
  const auto indexed =
      cp::index_shards(shards,
                       {.folder = s.folder,
                        .threads = s.threads,
                        .on_progress =
                            [](std::int64_t done, std::int64_t scanned, std::int64_t all) {
                              if (scanned > 0 && done % 1000 == 0)
                                std::cout << done << " of " << all << std::endl;
                            }},
                       stage ? &*stage : nullptr);
  std::int64_t samples = 0, unusable = 0;
  for (const auto& one : indexed.indexes) {
    samples += one.size();
    unusable += one.problems().skipped;
    for (const auto& line : one.problems().first) std::cout << "left out " << line << "\n";
  }
  TORCH_CHECK(indexed.unwritten == 0, "the index of ", indexed.unwritten,
              " shards could not be written: ", indexed.problem, "; pass --index-folder");
  std::cout << cp::with_commas(std::ssize(shards)) << " shards, "
            << cp::with_commas(indexed.scanned) << " of them indexed now, "
            << cp::with_commas(samples) << " samples, " << cp::with_commas(unusable)
            << " left out\n";
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  cp::SettingsTable settings = describe(s);
  CLI::App app{"Writes the indexes of WebDataset shards."};
  cp::add_to_command_line(app, settings);
  CLI11_PARSE(app, argc, argv);
  try {
    index(s);
  } catch (const std::exception& error) {
    std::cerr << "index_shards: " << cp::error_text(error) << "\n";
    return 1;
  }
}
