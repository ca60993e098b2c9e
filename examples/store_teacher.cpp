// SPDX-License-Identifier: CC0-1.0
// Fills a store with what a teacher says about a data set: the embeddings of all captions and of
// some views of each image. Training with the store runs no teacher.
//
//   store_teacher --teacher ViT-B-16.safetensors --teacher-model ViT-B-16 --views 3
//     --train-data 'cc3m/{00000..00331}.tar' --vocabulary bpe_simple_vocab_16e6.txt.gz
//     --output stores/b16
//   train_clip --train-data 'cc3m/{00000..00331}.tar' --teacher-store stores/b16 ...
//
// The crop, shift, flip, augmentations and image cache must be those of the training. Run it again
// to continue a build that was interrupted, and start it several times, or under torchrun, to build
// with several devices: each process takes the next shard that no other one is building. For
// several teachers, fill one store each with the same views and view seed.
//
// What to expect: a line on the size of the store, then the number of samples per second, which is
// that of the teacher's forward or of the decoding, whichever is slower.
#include <torch/utils.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

namespace {

// ==== Settings =================================================================================
// DataSettings: train_data, caption_fields, index_folder, cache_folder and threads.
// AugmentationSettings: blur, augment.
struct Settings : cp::DataSettings, cp::AugmentationSettings {
  // Data
  // Teacher
  std::string teacher, teacher_model = "ViT-B-16", vocabulary, precision = "fp32", device;
  std::int64_t batch_size = 64;
  // Store
  std::string output = "stores/teacher", contents = "both", dtype = "fp16";
  std::int64_t views = 1, log_every = 10;
  std::uint64_t view_seed = 0;
  bool plan = false;
};

cp::SettingsTable describe(Settings& s) {
  cp::SettingsTable t;
  t.section("Data");
  t.add("train-data", s.train_data, "shards, *.csv, *.tsv, class folders, or 'synthetic'");
  t.add("caption-fields", s.caption_fields, "JSON fields or columns of captions; empty: the usual");
  t.add("index-folder", s.index_folder, "for indexes of shards; empty: beside each shard");
  cp::add_cache_settings(t, s);
  cp::add_augmentation_settings(t, s);
  t.add("threads", s.threads, "decoding threads").check(cp::at_least(1));
  t.section("Teacher");
  t.add("teacher", s.teacher, "OpenCLIP weights (safetensors)");
  t.add("teacher-model", s.teacher_model, "a name such as ViT-B-16, or a .json file");
  t.add("vocabulary", s.vocabulary, "CLIP's bpe_simple_vocab_16e6.txt.gz; empty: bytes are tokens");
  t.add("precision", s.precision, "of its forward").one_of({"fp32", "fp16", "bf16", "pure_bf16"});
  t.add("batch-size", s.batch_size, "images in one forward").check(cp::at_least(1));
  t.add("device", s.device, "cuda or cpu; empty: cuda if there is one");
  t.section("Store");
  t.add("output", s.output, "folder of the store");
  t.add("contents", s.contents, "what to store").one_of({"both", "images", "texts"});
  t.add("views", s.views, "views of each image").check(cp::at_least(1));
  t.add("view-seed", s.view_seed, "seed of their crops, flips and colors");
  t.add("dtype", s.dtype, "of the stored numbers").one_of({"fp16", "bf16"});
  t.add("log-every", s.log_every, "seconds between progress lines").check(cp::at_least(1));
  t.add("plan", s.plan, "print the size of the store, and build nothing");
  return t;
}

/// Mean number of captions, from some samples.
double captions_per_sample(const cp::SampleSource& source) {
  const std::int64_t tries = std::min<std::int64_t>(source.size(), 64);
  double captions = 0.0, read = 0.0;
  for (std::int64_t i = 0; i < tries; ++i) try {
      captions += static_cast<double>(source.read(i * source.size() / tries).captions.size());
      ++read;
    } catch (const cp::DataError&) {  // The build counts samples that cannot be used.
    }
  return captions / std::max(read, 1.0);
}

void build(const Settings& s, const cp::Ranks& ranks) {
  // ==== Ranks, device, precision ===============================================================
  const torch::Device device = ranks.device();
  std::ostream silent(nullptr);
  std::ostream& out = ranks.is_first() ? std::cout : silent;

  // ==== Teacher ================================================================================
  TORCH_CHECK(!s.teacher.empty(), "no teacher is given; pass --teacher WEIGHTS.safetensors");
  cp::ModelConfig config = cp::find_model_config(s.teacher_model);
  const cp::Tokenizer tokenizer = cp::make_tokenizer(s.vocabulary, config.text.context_length);
  config.text.vocab_size = tokenizer.vocab_size;
  const cp::LoadedTeacher teacher =
      cp::load_teacher(config, s.teacher, {}, 1.0, cp::precision_policy(s.precision), device);

  // ==== Data ===================================================================================
  const auto source =
      cp::with_image_cache(cp::open_data(s, s.train_data, out, {.samples = 6'000}), s, out);
  const cp::ImageTransform transform(cp::training_transform(config, s));

  // ==== Plan ===================================================================================
  const std::int64_t views = s.contents == "texts" ? 0 : s.views;
  const bool texts = s.contents != "images";
  const auto samples = static_cast<double>(source->size());
  const double captions = texts ? captions_per_sample(*source) : 0.0;
  const cp::TeacherStoreInfo shape{
      .width = config.embed_dim, .texts = texts, .replay = {.views = views}};
  const auto cost = cp::forward_gflops(config);
  out << "teacher   " << config.name << ", " << s.precision << " on " << device << "\n"
      << "data      " << cp::with_commas(source->size()) << " samples in "
      << source->shards().size() << " shards, " << cp::with_decimals(captions, 1)
      << " captions per sample\n"
      << "store     " << s.output << ": " << views << " views per image"
      << (texts ? " and all captions" : "") << ", " << config.embed_dim << " numbers in " << s.dtype
      << ", about " << cp::as_bytes(samples * shape.sample_bytes(captions)) << "\n"
      << "compute   "
      << cp::with_digits(1e-6 * samples * (cost.x * static_cast<double>(views) + cost.y * captions),
                         3)
      << " PFLOP\n";
  if (s.plan) return;

  // ==== Build ==================================================================================
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  auto last_line = begin;
  const auto seconds = [](Clock::duration time) {
    return std::chrono::duration<double>(time).count();
  };
  const auto show = [&](const cp::TeacherStoreProgress& progress) {
    ranks.progress(progress.samples);
    if (seconds(Clock::now() - last_line) < static_cast<double>(s.log_every)) return;
    last_line = Clock::now();
    const double rate = static_cast<double>(progress.samples) / seconds(last_line - begin);
    out << progress.finished_shards << " of " << progress.shards << " shards, "
        << cp::with_commas(progress.samples) << " samples here, " << cp::with_digits(rate, 3)
        << " samples/s" << (progress.waiting ? ", waiting for other processes" : "") << std::endl;
  };
  const auto report = cp::build_teacher_store(
      s.output, source, teacher.step, transform, tokenizer.encode,
      {.name = config.name,
       .replay = {views, s.view_seed},
       .texts = texts,
       .dtype = s.dtype == "fp16" ? torch::kHalf : torch::kBFloat16,
       .batch_size = s.batch_size,
       .threads = s.threads,
       .pad_text_to = config.text.reads_padding() ? config.text.context_length : 0,
       .on_progress = show});

  // ==== Results ================================================================================
  for (const auto& line : report.unusable.first) std::cerr << "unusable: " << line << "\n";
  out << "built " << report.built_shards << " shards, " << cp::with_commas(report.samples)
      << " samples, " << report.unusable.skipped << " of them unusable, "
      << cp::with_digits(static_cast<double>(report.samples) / seconds(Clock::now() - begin), 3)
      << " samples/s; the store " << s.output << " is complete\n";
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  cp::SettingsTable settings = describe(s);
  CLI::App app{"Stores what a teacher says about a data set."};
  cp::add_to_command_line(app, settings);
  CLI11_PARSE(app, argc, argv);
  cp::Ranks ranks;
  try {
    ranks = cp::join_ranks({.device = s.device});
    build(s, ranks);
    ranks.sign_off();
  } catch (const std::exception& error) {
    std::cerr << "store_teacher: " << ranks.explain(error) << "\n";
    return 1;
  }
}
