// SPDX-License-Identifier: CC0-1.0
// Trains two text towers on pairs of texts, such as a query and the function that it describes, with
// batches that do not fit into memory: GradCache runs the towers chunk after chunk, and the loss
// over the whole batch never builds its matrix. Alone, or as any number of ranks.
//
//   train_text_pairs --config examples/recipes/text_pairs.toml --train-data train.jsonl.gz
//   scripts/launch -n 2 train_text_pairs ...                            # or torchrun, srun, mpirun
//
// A plan is printed before step 0. Then come progress and, every --eval-every samples, how well each
// query finds its text among all of --eval-data (mean reciprocal rank and recall). The output folder
// receives config.json, log.jsonl, curves.png and step-*/ checkpoints; --resume goes on.
//
// What to expect: recipes/text_pairs.toml reaches a mean reciprocal rank of 0.39 among 1,773
// functions in 142 seconds on two CPU cores; docs/large_batches.md compares batch sizes.
#include <torch/utils.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

namespace {

// ==== Settings =================================================================================
struct Settings {
  // Data
  std::string train_data, eval_data, x_field = "query", y_field = "code", group_field, vocabulary;
  std::int64_t hard_negatives = 0, x_context = 32, y_context = 96;
  // Model: both towers alike
  std::int64_t width = 128, layers = 2, heads = 4, output_dim = 128;
  // Optimization
  std::int64_t batch_size = 1'024;
  std::string chunk_size = "256", warmup = "10%", precision = "fp32";
  double keep_gigabytes = 0.0, epochs = 8, lr = 1e-3, weight_decay = 0.1, clip = 1.0;
  bool ring = false;
  std::uint64_t seed = 0;
  // Run
  std::string output = "runs/train_text_pairs", resume, device;
  std::int64_t log_every = 10, eval_every = 0, save_every = 1'000, stop_after = 0;
  bool plan = false, force = false;
};

/// Every setting once: the command line, --config FILE.toml, config.json and the comparison between
/// ranks and with an earlier run are made from this table.
cp::SettingsTable describe(Settings& s) {
  cp::SettingsTable t;
  t.section("Data");
  t.add("train-data", s.train_data, "JSON lines, plain or .gz");
  t.add("eval-data", s.eval_data, "the same form; empty: no evaluation");
  t.add("x-field", s.x_field, "JSON field of the text that searches");
  t.add("y-field", s.y_field, "JSON field of the text that is found");
  t.add("group-field", s.group_field, "pairs with one value are alike; gives hard negatives");
  t.add("hard-negatives", s.hard_negatives, "for each pair, ys of other pairs of its group")
      .check(cp::at_least(0));
  t.add("vocabulary", s.vocabulary, "CLIP's bpe_simple_vocab_16e6.txt.gz; empty: bytes");
  t.add("x-context", s.x_context, "tokens; longer texts are cut").check(cp::at_least(3));
  t.add("y-context", s.y_context, "tokens; longer texts are cut").check(cp::at_least(3));
  t.section("Model");
  t.add("width", s.width, "of both towers");
  t.add("layers", s.layers, "of both towers");
  t.add("heads", s.heads, "must divide the width");
  t.add("output-dim", s.output_dim, "width of the features");
  t.section("Optimization");
  t.add("batch-size", s.batch_size, "pairs in one optimizer step, over all ranks");
  t.add("chunk-size", s.chunk_size, "GradCache: pairs in memory at once, 'auto' or 'none'")
      .readable_by(cp::parse_chunk_size)
      .may_change();
  t.add("keep-gigabytes", s.keep_gigabytes, "activations kept between the passes, to save time")
      .may_change();
  t.add("ring", s.ring, "texts travel from rank to rank: less memory, the same loss");
  t.add("epochs", s.epochs, "passes over the training data");
  t.add("lr", s.lr, "learning rate after the warm-up at a batch of 1,024; scaled by its root");
  t.add("warmup", s.warmup, "'500 steps', '1 epochs', '100000 samples' or '10%' of the run")
      .readable_by(cp::parse_duration);
  t.add("weight-decay", s.weight_decay, "of matrices").check(cp::at_least(0));
  t.add("clip", s.clip, "largest norm of the gradient; 0: no clipping").check(cp::at_least(0));
  t.add("precision", s.precision, "fp32, tf32, fp16, bf16 or pure_bf16")
      .readable_by(cp::precision_policy);
  t.add("seed", s.seed, "of weights, data order and hard negatives");
  t.section("Run");
  t.add("output", s.output, "folder for everything that is written").may_change();
  t.add("resume", s.resume, "a checkpoint, 'latest', or 'auto': latest if any").may_change();
  t.add("device", s.device, "cuda or cpu; empty: cuda where there is one").may_change();
  t.add("log-every", s.log_every, "steps").check(cp::at_least(1)).may_change();
  t.add("eval-every", s.eval_every, "samples; 0: at the end only")
      .check(cp::at_least(0))
      .may_change();
  t.add("save-every", s.save_every, "steps").check(cp::at_least(1)).may_change();
  t.add("stop-after", s.stop_after, "steps; the schedule stays; 0: never")
      .check(cp::at_least(0))
      .may_change();
  t.add("plan", s.plan, "print what the run would do, and train nothing").may_change();
  t.add("force", s.force, "train although the plan refuses the run").may_change();
  return t;
}

void train(const Settings& s, const cp::SettingsTable& settings, const cp::Ranks& ranks) {
  // ==== Ranks, device, precision ===============================================================
  cp::check_same_on_all_ranks(ranks, "the settings", cp::values(settings));
  const torch::Device device = ranks.device();
  const cp::PrecisionPolicy precision = cp::precision_policy(s.precision);
  std::ostream silent(nullptr);
  std::ostream& out = ranks.is_first() ? std::cout : silent;
  torch::manual_seed(s.seed);
  TORCH_CHECK(s.batch_size % ranks.size() == 0, "batch-size (", s.batch_size,
              ") must be a multiple of the number of ranks (", ranks.size(), ")");

  // ==== Data ===================================================================================
  const cp::Tokenizer x_tokenizer = cp::make_tokenizer(s.vocabulary, s.x_context);
  const cp::Tokenizer y_tokenizer = cp::make_tokenizer(s.vocabulary, s.y_context);
  const auto read_pairs = [&](const std::string& path) {
    auto read = cp::read_text_pairs(
        path, {.x_field = s.x_field, .y_field = s.y_field, .group_field = s.group_field});
    for (const auto& line : read.report.first) out << "left out " << line << "\n";
    return std::move(read.pairs);
  };
  cp::TextPairLoader loader(read_pairs(s.train_data), x_tokenizer, y_tokenizer,
                            {.batch_size = s.batch_size / ranks.size(),
                             .hard_negatives = s.hard_negatives,
                             .seed = s.seed,
                             .ranks = ranks});
  const auto eval_pairs =
      s.eval_data.empty() ? std::vector<cp::TextPair>() : read_pairs(s.eval_data);

  // ==== Model ==================================================================================
  const auto tower = [&](const cp::Tokenizer& tokenizer) {
    return cp::TextTransformer(
        cp::TextTransformerOptions{.context_length = tokenizer.context_length,
                                   .vocab_size = tokenizer.vocab_size,
                                   .width = s.width,
                                   .heads = s.heads,
                                   .layers = s.layers,
                                   .output_dim = s.output_dim});
  };
  cp::DualEncoder model(tower(x_tokenizer), tower(y_tokenizer));
  model->to(device);
  cp::apply_precision_(*model, precision);
  cp::broadcast_module_(*model, ranks);

  // ==== Loss ===================================================================================
  const cp::TiledInfoNce loss(
      {.tiles = {.matmul_dtype = precision.product_dtype()}, .ring = s.ring}, ranks);

  // ==== Optimizer, schedule, averages ==========================================================
  cp::RunLength run{.dataset_samples = loader.size(), .batch_size = s.batch_size};
  run.total_steps = cp::to_steps({s.epochs, cp::DurationUnit::kEpochs}, run);
  const cp::WarmupCosine schedule(
      {.peak_lr = s.lr * std::sqrt(static_cast<double>(s.batch_size) / 1024.0),
       .warmup_steps = cp::to_steps(cp::parse_duration(s.warmup), run),
       .total_steps = run.total_steps});
  cp::AdamW optimizer(cp::decay_groups(*model, s.weight_decay), {.beta2 = 0.98, .eps = 1e-6});
  const auto parameters = optimizer.parameters();
  const double max_norm = s.clip > 0.0 ? s.clip : std::numeric_limits<double>::infinity();
  cp::LossScaler scaler(precision, device);

  // ==== Step: batch in, gradients out ==========================================================
  cp::GradCache compute_gradients(
      cp::pair_step_model(model, device,
                          {.x_input = "x",
                           .y_input = "y",
                           .negatives_input = s.hard_negatives > 0 ? "negatives" : ""}),
      loss,
      {.chunk_size = cp::parse_chunk_size(s.chunk_size), .keep_bytes = 1e9 * s.keep_gigabytes},
      {.precision = precision, .device = device, .scaler = &scaler, .ranks = ranks});
