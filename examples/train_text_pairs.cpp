// SPDX-License-Identifier: CC0-1.0
// Trains two text towers on pairs of texts, such as a query and the function that it describes,
// with batches that do not fit into memory: GradCache runs the towers chunk after chunk, and the
// loss over the whole batch never builds its matrix. It runs as one process or as any number of
// ranks.
//
//   train_text_pairs --config examples/recipes/text_pairs.toml --train-data train.jsonl.gz
//   scripts/launch -n 2 train_text_pairs ...                            # or torchrun, srun, mpirun
//
// A plan is printed before step 0. The progress line follows and, every --eval-every samples, how
// well each query finds its text among all of --eval-data (mean reciprocal rank and recall). The
// output folder receives config.json, log.jsonl, curves.png and step-*/ checkpoints; --resume
// continues a run. docs/reference/settings.md describes the settings and the output.
//
// What to expect: recipes/text_pairs.toml reaches a mean reciprocal rank of 0.385 among 1,773
// functions in 171 seconds on two CPU cores; docs/measurements/large_batches.md compares batch
// sizes.
#include <torch/utils.h>

#include <CLI/CLI.hpp>
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

namespace {

// ==== Settings =================================================================================
/// RunSettings: output, resume, log_every, plan and so on. OptimizerSettings: optimizer, beta2.
struct Settings : cp::RunSettings, cp::OptimizerSettings {
  Settings() { output = "runs/train_text_pairs"; }
  // Data
  std::string train_data, eval_data, x_field = "query", y_field = "code", group_field, vocabulary;
  std::int64_t hard_negatives = 0, x_context = 32, y_context = 96;
  // Model: both towers have this shape
  std::int64_t width = 128, layers = 2, heads = 4, output_dim = 128;
  // Optimization
  std::int64_t batch_size = 1'024;
  std::string chunk_size = "256", warmup = "10%", precision = "fp32";
  double keep_gigabytes = 0.0, epochs = 8, lr = 1e-3, clip = 1.0;
  bool ring = false;
  std::uint64_t seed = 0;
  // Run
  std::int64_t eval_every = 0;
};

/// Describes every setting once. The command line, --config FILE.toml, config.json and the
/// comparisons between ranks and with an earlier run are made from this table.
cp::SettingsTable describe(Settings& s) {
  cp::SettingsTable t;
  t.section("Data");
  t.add("train-data", s.train_data, "JSON lines, plain or .gz");
  t.add("eval-data", s.eval_data, "in the same form; empty: no evaluation");
  t.add("x-field", s.x_field, "JSON field of the text that searches");
  t.add("y-field", s.y_field, "JSON field of the text that is found");
  t.add("group-field", s.group_field, "JSON field; pairs of one group give hard negatives");
  t.add("hard-negatives", s.hard_negatives, "number of y of other pairs of the group, per pair")
      .check(cp::at_least(0));
  t.add("vocabulary", s.vocabulary, "CLIP's bpe_simple_vocab_16e6.txt.gz; empty: bytes are tokens");
  t.add("x-context", s.x_context, "tokens; longer texts are cut").check(cp::at_least(3));
  t.add("y-context", s.y_context, "tokens; longer texts are cut").check(cp::at_least(3));
  t.section("Model");
  t.add("width", s.width, "width of both towers");
  t.add("layers", s.layers, "layers of both towers");
  t.add("heads", s.heads, "attention heads; must divide the width");
  t.add("output-dim", s.output_dim, "width of the features");
  t.section("Optimization");
  t.add("batch-size", s.batch_size, "pairs in one optimizer step, over all ranks");
  t.add("chunk-size", s.chunk_size, "GradCache: pairs in memory at once, 'auto' or 'none'")
      .readable_by(cp::parse_chunk_size)
      .may_change();
  t.add("keep-gigabytes", s.keep_gigabytes, "activations to keep between passes, to save time")
      .may_change();
  t.add("ring", s.ring, "texts travel from rank to rank: less memory, the same loss");
  t.add("epochs", s.epochs, "passes over the training data");
  t.add("lr", s.lr, "learning rate at a batch of 1,024; scaled with the root of the batch size");
  t.add("warmup", s.warmup, "'500 steps', '1 epochs', '100000 samples' or '10%' of the run")
      .readable_by(cp::parse_duration);
  cp::add_optimizer_settings(t, s);
  t.add("clip", s.clip, "largest norm of the gradient; 0: no clipping").check(cp::at_least(0));
  t.add("precision", s.precision, "fp32, tf32, fp16, bf16 or pure_bf16")
      .readable_by(cp::precision_policy);
  t.add("seed", s.seed, "seed of weights, data order and hard negatives");
  t.section("Run");
  t.add("eval-every", s.eval_every, "samples between evaluations; 0: only at the end")
      .check(cp::at_least(0))
      .may_change();
  cp::add_run_settings(t, s);
  return t;
}

void train(const Settings& s, const cp::SettingsTable& settings, const cp::Ranks& ranks) {
  // ==== Ranks, device, precision ===============================================================
  cp::check_same_on_all_ranks(ranks, "the settings", cp::setting_values(settings));
  const torch::Device device = ranks.device();
  const cp::DeviceFacts free{cp::free_memory_bytes(device)};  // before the model takes its part
  const cp::PrecisionPolicy precision = cp::precision_policy(s.precision);
  std::ostream silent(nullptr);
  std::ostream& out = ranks.is_first() ? std::cout : silent;
  torch::manual_seed(s.seed);

  // ==== Data ===================================================================================
  const cp::Tokenizer x_tokenizer = cp::make_tokenizer(s.vocabulary, s.x_context);
  const cp::Tokenizer y_tokenizer = cp::make_tokenizer(s.vocabulary, s.y_context);
  const auto read_pairs = [&](const std::string& path) {
    auto read = cp::read_text_pairs(path, {.x = s.x_field, .y = s.y_field, .group = s.group_field});
    for (const auto& line : read.report.first) out << "left out " << line << "\n";
    return std::move(read.pairs);
  };
  cp::TextPairLoader loader(read_pairs(s.train_data), x_tokenizer, y_tokenizer,
                            {.batch_size = cp::samples_per_rank(s.batch_size, ranks),
                             .hard_negatives = s.hard_negatives,
                             .seed = s.seed,
                             .ranks = ranks});
  cp::check_same_on_all_ranks(ranks, "the number of batches in an epoch",
                              loader.batches_per_epoch());
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
  auto optimizer = cp::make_optimizer(s, cp::decay_groups(*model, s.weight_decay), ranks,
                                      {.beta2 = 0.98, .eps = 1e-6}, s.batch_size);
  const auto parameters = optimizer.parameters();
  const double max_norm = s.clip > 0.0 ? s.clip : std::numeric_limits<double>::infinity();
  cp::LossScaler scaler(precision, device);

  // ==== Step: batch in, gradients out ==========================================================
  cp::GradCache compute_gradients(
      cp::pair_step_model(model, device,
                          {.x_input = "x",
                           .y_input = "y",
                           .trim_x = true,
                           .trim_y = true,
                           .negatives_input = s.hard_negatives > 0 ? "negatives" : ""}),
      loss,
      {.chunk_size = cp::parse_chunk_size(s.chunk_size), .keep_bytes = 1e9 * s.keep_gigabytes},
      {.precision = precision, .device = device, .scaler = &scaler, .ranks = ranks});

  // ==== Plan ===================================================================================
  const auto model_facts =
      cp::model_facts(*model, "two text towers", {model->x_tower(), model->y_tower()});
  cp::RunPlan plan(model_facts, precision, schedule, optimizer, compute_gradients, ranks,
                   cp::DataFacts{.samples = run.dataset_samples, .batch_size = s.batch_size}, free);
  const cp::RunFolder folder(s.output, {.resume = s.resume, .look_only = s.plan}, ranks);
  plan.refuse_changes(cp::setting_differences(settings, folder.earlier_config()));
  const bool may_start = cp::announce_plan(plan, out, s.force);
  TORCH_CHECK(may_start, "the plan was refused; change what it names, or pass --force");
  if (s.plan) return;

  // ==== Resume =================================================================================
  cp::RunProgress progress;
  cp::CheckpointParts parts;
  parts.add("model", *model).add("optimizer", optimizer).add("scaler", scaler);
  parts.add("loader", loader).add("progress", progress);
  loader.start_epoch(0);
  if (folder.resumes()) folder.load(parts);
  for (const auto& note : folder.notes()) out << note << "\n";
  cp::on_first_rank(ranks, [&] { cp::write_settings(folder.config(), settings); });

  // ==== Sinks of the step record ===============================================================
  cp::ProgressLine line(out, {run.total_steps, s.log_every, cp::stdout_is_terminal()});
  cp::JsonLinesWriter log(folder.rank_file("log", ".jsonl"), progress.step);
  cp::EvaluationTable scores(folder.rank_file("evaluations", ".csv"), progress.step, s.compare);
  cp::ThroughputMeter meter;

  // ==== Evaluation =============================================================================
  const auto evaluate = [&]() -> std::optional<double> {
    if (eval_pairs.empty()) return std::nullopt;
    const auto pause = meter.pause();
    const torch::NoGradGuard no_grad;
    const cp::AutocastGuard autocast(precision, device);
    model->eval();
    std::vector<at::Tensor> x, y;
    for (std::size_t begin = 0; begin < eval_pairs.size(); begin += 256) {
      ranks.progress(progress.step);
      std::vector<std::string> xs, ys;
      for (std::size_t i = begin; i < std::min(begin + 256, eval_pairs.size()); ++i) {
        xs.push_back(eval_pairs[i].x);
        ys.push_back(eval_pairs[i].y);
      }
      x.push_back(model->encode_x(x_tokenizer.encode_all(xs).to(device)));
      y.push_back(model->encode_y(y_tokenizer.encode_all(ys).to(device)));
    }
    model->train();
    const auto owner = at::arange(static_cast<std::int64_t>(eval_pairs.size()), at::kLong);
    const auto found = cp::retrieval_metrics(at::cat(x), at::cat(y), owner).x_to_y;
    auto record = run.record(progress);
    record.add("mean_reciprocal_rank", found.mean_reciprocal_rank)
        .add("recall@1", found.recall_at_1)
        .add("recall@5", found.recall_at_5)
        .add("recall@10", found.recall_at_10);
    cp::notify_evaluation(record, line, log, scores);
    return found.mean_reciprocal_rank;
  };

  // ==== The loop ===============================================================================
  const auto last_step = s.last_step(run.total_steps);
  model->train();
  while (progress.step < last_step) {
    const auto batch = loader.next();
    if (!batch) {
      loader.start_epoch(loader.epoch() + 1);
      continue;
    }
    ranks.progress(progress.step);
    torch::manual_seed(cp::rank_seed(s.seed, progress.step, ranks.rank()));
    const double lr = schedule(progress.step);
    optimizer.zero_grad();
    const cp::LossTerms terms = compute_gradients(*batch);
    const auto found_inf = scaler.unscale_(parameters);
    const auto norm = cp::clip_grad_norm_(parameters, max_norm);
    optimizer.step(lr, {.found_inf = found_inf});
    scaler.update();
    model->clamp_logit_scale_();
    const auto samples_before = progress.samples;
    progress.advance(s.batch_size);
    meter.add(s.batch_size);

    const bool last = progress.step == last_step;
    const bool saves = progress.step % s.save_every == 0 && !last;
    if (progress.step % s.log_every == 0 || saves || last) {  // the host waits only here
      const auto window = meter.next_window(loader.statistics().times);
      cp::StepRecord record = run.record(progress);
      record.add(terms)
          .add("lr", lr)
          .add("scale", model->scale().item<double>())
          .add("gradient_norm", norm.item<double>())
          .add(window);
      cp::notify(record, line, log);
      cp::check_loss_is_finite(record, scaler.enabled());
    }
    const bool evaluates =
        s.eval_every > 0 && progress.samples / s.eval_every > samples_before / s.eval_every;
    if (evaluates && !last)
      folder.save(progress.step, parts, evaluate());
    else if (saves)
      folder.save(progress.step, parts);
  }
  folder.save(progress.step, parts, evaluate());
  line.finish();

  // ==== Results ================================================================================
  if (!ranks.is_first()) return;
  if (!cp::write_curves(folder / "log.jsonl", folder / "curves.png",
                        {.title = "text pairs", .evaluations = scores.series()}))
    out << "curves.png: gnuplot is not installed\n";
  out << scores.text() << "wrote log, curves and checkpoints to " << s.output << "\n";
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  cp::SettingsTable settings = describe(s);
  CLI::App app{"Trains two text towers to find each other's texts, with batches of any size."};
  cp::add_to_command_line(app, settings);
  CLI11_PARSE(app, argc, argv);
  cp::Ranks ranks;
  try {
    ranks = cp::join_ranks({.device = s.device});
    train(s, settings, ranks);
    ranks.sign_off();
  } catch (const std::exception& error) {
    std::cerr << "train_text_pairs: " << ranks.explain(error) << "\n";
    return 1;
  }
}
