// SPDX-License-Identifier: CC0-1.0
// Fills an image cache: the images of a data set at a smaller size, so that training spends little
// time on decoding. Training with the same settings fills it too, during its first epoch. Run it
// again to continue a build that was interrupted, and start it several times to share the work.
//
//   cache_images --train-data 'cc3m/{00000..00331}.tar' --cache-folder cache --cache-side 256
//   train_clip --train-data 'cc3m/{00000..00331}.tar' --cache-folder cache --cache-side 256 ...
//
// Expect a line on the progress every ten seconds, and at the end the size of the cache.
#include <CLI/CLI.hpp>
#include <chrono>
#include <contrapunto/contrapunto.hpp>
#include <filesystem>
#include <iostream>
#include <thread>

namespace cp = contrapunto;

namespace {

// DataSettings: train_data, index_folder, cache_folder, cache_side, cache_quality.
struct Settings : cp::DataSettings {
  std::int64_t log_every = 10;
};

cp::SettingsTable describe(Settings& s) {
  cp::SettingsTable t;
  t.section("Data");
  t.add("train-data", s.train_data, "shards, *.csv, *.tsv, class folders, or 'synthetic'");
  t.add("index-folder", s.index_folder, "for indexes of shards; empty: beside each shard");
  cp::add_cache_settings(t, s);
  t.add("threads", s.threads, "shards that are made at the same time").check(cp::at_least(1));
  t.add("log-every", s.log_every, "seconds between progress lines").check(cp::at_least(1));
  return t;
}

void build(const Settings& s) {
  TORCH_CHECK(!s.cache_folder.empty(), "--cache-folder is needed");
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  auto last_line = begin;
  const auto seconds = [](Clock::duration time) {
    return std::chrono::duration<double>(time).count();
  };
  const cp::CachedSource cache(
      cp::open_data(s, s.train_data, std::cout),
      {.folder = s.cache_folder,
       .recipe = {.side = s.cache_side, .quality = s.cache_quality},
       .in_background = false,
       .on_note = [](const std::string& note) { std::cout << note << std::endl; }});
  const auto show = [&](const cp::ImageCacheProgress& progress) {
    if (seconds(Clock::now() - last_line) < static_cast<double>(s.log_every)) return;
    last_line = Clock::now();
    const double rate = static_cast<double>(progress.images) / seconds(last_line - begin);
    std::cout << cp::with_commas(progress.finished_shards) << " of "
              << cp::with_commas(progress.shards) << " shards, " << cp::with_commas(progress.images)
              << " images here, " << cp::with_digits(rate, 3) << " images/s" << std::endl;
  };
  const cp::ImageCacheProgress done = cache.build(s.threads, show);
  TORCH_CHECK(done.problem.empty(), "the cache is not complete: ", done.problem);
  TORCH_CHECK(done.dropped_shards == 0, "most samples of ", done.dropped_shards,
              " shards cannot be read; training names them");
  double bytes = 0.0;
  for (const auto& entry : std::filesystem::directory_iterator(s.cache_folder))
    if (entry.is_regular_file()) bytes += static_cast<double>(entry.file_size());
  std::cout << cp::with_commas(done.finished_shards) << " of " << cp::with_commas(done.shards)
            << " shards with " << cache.options().recipe.text() << ", "
            << cp::with_commas(done.images) << " images made now, "
            << cp::with_commas(done.unusable) << " of them unusable; " << s.cache_folder << " has "
            << cp::as_bytes(bytes) << "\n";
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  s.threads = std::max(1U, std::thread::hardware_concurrency());
  cp::SettingsTable settings = describe(s);
  CLI::App app{"Fills an image cache."};
  cp::add_to_command_line(app, settings);
  CLI11_PARSE(app, argc, argv);
  try {
    build(s);
  } catch (const std::exception& error) {
    std::cerr << "cache_images: " << cp::error_text(error) << "\n";
    return 1;
  }
}
