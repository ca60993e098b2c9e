// SPDX-License-Identifier: CC0-1.0
// Trains two text towers on pairs of texts, such as a query and the function it describes, with batches that do not fit
// into memory: GradCache runs the towers chunk after chunk, and the loss over the whole batch never builds its matrix.
//
//   train_text_pairs --train-data train.jsonl.gz --eval-data test.jsonl.gz --vocabulary bpe_simple_vocab_16e6.txt.gz
//     --group-field file --hard-negatives 1 --batch-size 1024    (one line)
//
// Expect a plan, then progress and, every --eval-every samples, how well each query finds its text among all of
// --eval-data (MRR and recall). --output receives log.jsonl, curves.png and step-*/ checkpoints; --resume latest goes
// on.
#include <torch/cuda.h>
#include <torch/utils.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <contrapunto/contrapunto.hpp>
#include <filesystem>
#include <iostream>

namespace cp = contrapunto;
namespace fs = std::filesystem;

namespace {

/// The recipe: every value of the run, with its unit. What changes from run to run is also a flag.
struct Settings {
  // Data
  std::string train_data;           ///< JSON lines, plain or .gz.
  std::string eval_data;            ///< The same form; empty: no evaluation.
  std::string x_field = "query";    ///< JSON field of the text that searches.
  std::string y_field = "code";     ///< JSON field of the text that is found.
  std::string group_field;          ///< Pairs with one value are alike; where hard negatives come from.
  std::int64_t hard_negatives = 0;  ///< For each pair, ys of other pairs of its group.
  std::string vocabulary;           ///< CLIP's vocabulary; empty: bytes are the tokens.
  std::int64_t x_context = 32;      ///< Tokens; longer texts are cut.
  std::int64_t y_context = 96;      ///< Tokens; longer texts are cut.
  // Model: both towers alike
  std::int64_t width = 128;
  std::int64_t layers = 2;
  std::int64_t heads = 4;         ///< Must divide the width.
  std::int64_t output_dim = 128;  ///< Of the features.
  // Optimisation
  std::int64_t batch_size = 1'024;  ///< Pairs in one optimiser step: each is a negative of all others.
  std::int64_t chunk_size = 256;    ///< Texts in memory at once; 0: measured. Does not change the result.
  double keep_gigabytes = 0.0;      ///< Activations kept between the passes, which saves time.
  double epochs = 8;                ///< Passes over the training data.
  double lr = 1e-3;                 ///< Learning rate at the end of the warm-up, at a batch size of 1,024.
  std::string warmup = "10%";       ///< "500 steps", "1 epochs", "100000 samples" or "10%" of the run.
  double weight_decay = 0.1;
  double clip = 1.0;               ///< Global norm of the gradient.
  std::string precision = "fp32";  ///< fp32, tf32, fp16, bf16 or pure_bf16.
  // Run
  std::string output = "runs/train_text_pairs";
  std::string resume;  ///< A checkpoint folder, or "latest".
  std::string device;  ///< cuda or cpu; empty: cuda where there is one.
  std::uint64_t seed = 0;
  std::int64_t log_every = 10;      ///< Steps.
  std::int64_t eval_every = 0;      ///< Samples; 0: at the end only.
  std::int64_t save_every = 1'000;  ///< Steps; the end of the run is saved as well.
  std::int64_t stop_after = 0;      ///< Steps; ends early with the schedule unchanged; 0: never.
  bool plan = false;
  bool force = false;
};

void add_flags(CLI::App& app, Settings& s) {
  app.option_defaults()->always_capture_default();
  app.add_option("--train-data", s.train_data, "JSON lines, plain or .gz")->required();
  app.add_option("--eval-data", s.eval_data, "the same form; every query searches all of it");
  app.add_option("--x-field", s.x_field, "JSON field of the text that searches");
  app.add_option("--y-field", s.y_field, "JSON field of the text that is found");
  app.add_option("--group-field", s.group_field, "pairs with one value of it give each other hard negatives");
  app.add_option("--hard-negatives", s.hard_negatives, "for each pair");
  app.add_option("--vocabulary", s.vocabulary, "CLIP's bpe_simple_vocab_16e6.txt.gz; without it, bytes are tokens");
  app.add_option("--x-context", s.x_context, "tokens");
  app.add_option("--y-context", s.y_context, "tokens");
  app.add_option("--width", s.width, "of both towers");
  app.add_option("--layers", s.layers, "of both towers");
  app.add_option("--batch-size", s.batch_size, "pairs in one optimiser step");
  app.add_option("--chunk-size", s.chunk_size, "texts in memory at once; 0: measured; does not change the result");
  app.add_option("--keep-gigabytes", s.keep_gigabytes, "activations kept between the passes; saves time");
  app.add_option("--epochs", s.epochs, "passes over the training data");
  app.add_option("--lr", s.lr, "learning rate at a batch size of 1,024; grows with its square root");
  app.add_option("--warmup", s.warmup, "'500 steps', '1 epochs', '100000 samples' or '10%'");
  app.add_option("--weight-decay", s.weight_decay);
  app.add_option("--precision", s.precision, "fp32, tf32, fp16, bf16 or pure_bf16");
  app.add_option("--output", s.output, "folder for log, curves and checkpoints");
  app.add_option("--resume", s.resume, "a checkpoint folder, or 'latest'");
  app.add_option("--device", s.device, "cuda or cpu; default: cuda where there is one");
  app.add_option("--seed", s.seed);
  app.add_option("--log-every", s.log_every, "steps")->check(CLI::PositiveNumber);
  app.add_option("--eval-every", s.eval_every, "samples; 0: at the end only");
  app.add_option("--save-every", s.save_every, "steps")->check(CLI::PositiveNumber);
  app.add_option("--stop-after", s.stop_after, "end after this many steps with the schedule unchanged; 0: never");
  app.add_flag("--plan", s.plan, "print what the run would do, and train nothing");
  app.add_flag("--force", s.force, "train although the plan finds the run wasted");
}

std::vector<cp::TextPair> read_pairs(const Settings& s, const std::string& path) {
  auto read = cp::read_text_pairs(path, {.x = s.x_field, .y = s.y_field, .group = s.group_field});
  for (const auto& line : read.report.first) std::cerr << "left out " << line << "\n";
  return std::move(read.pairs);
}

void train(const Settings& s) {
  // ---- Device and precision ----
  torch::manual_seed(s.seed);
  const torch::Device device(!s.device.empty() ? s.device : torch::cuda::is_available() ? "cuda" : "cpu");
  const cp::PrecisionPolicy precision = cp::precision_policy(s.precision);

  // ---- Data ----
  const auto tokenizer = [&](std::int64_t context) {
    return s.vocabulary.empty() ? cp::Tokenizer(cp::ByteTokenizer({.context_length = context}))
                                : cp::Tokenizer(cp::BpeTokenizer(s.vocabulary, {.context_length = context}));
  };
  const cp::Tokenizer x_tokenizer = tokenizer(s.x_context), y_tokenizer = tokenizer(s.y_context);
  cp::TextPairLoader loader(read_pairs(s, s.train_data), x_tokenizer, y_tokenizer,
                            {.batch_size = s.batch_size, .hard_negatives = s.hard_negatives, .seed = s.seed});
  const auto eval_pairs = s.eval_data.empty() ? std::vector<cp::TextPair>() : read_pairs(s, s.eval_data);

  // ---- Model: "visual" is the tower of x, "text" that of y ----
  const auto tower = [&](const cp::Tokenizer& t) {
    return cp::TextTransformer(cp::TextTransformerOptions{.context_length = t.context_length,
                                                          .vocab_size = t.vocab_size,
                                                          .width = s.width,
                                                          .heads = s.heads,
                                                          .layers = s.layers,
                                                          .output_dim = s.output_dim});
  };
  cp::DualEncoder model(tower(x_tokenizer), tower(y_tokenizer));
  model->to(device);
  cp::apply_precision_(*model, precision);

  // ---- Length of the run, schedule, optimiser ----
  cp::RunLength run{.dataset_samples = loader.size(), .batch_size = s.batch_size};
  run.total_steps = cp::to_steps({s.epochs, cp::DurationUnit::kEpochs}, run);
  const double lr = s.lr * std::sqrt(static_cast<double>(s.batch_size) / 1024.0);
  const auto warmup_steps = cp::to_steps(cp::parse_duration(s.warmup), run);
  cp::AdamW optimizer(cp::decay_groups(*model, s.weight_decay), {.beta1 = 0.9, .beta2 = 0.98, .eps = 1e-6});
  cp::LossScaler scaler(precision, device);
  const auto parameters = optimizer.parameters();

  // ---- Plan: what will happen, before anything does ----
  const cp::ParameterBytes bytes = cp::parameter_bytes(precision);
  cp::RunPlan plan;
  plan.model = "two text towers";
  plan.image_parameters = cp::parameter_count(*model->visual());
  plan.text_parameters = cp::parameter_count(*model->text());
  plan.text_context = std::max(s.x_context, s.y_context);
  plan.dataset_samples = run.dataset_samples;
  plan.batch_size = s.batch_size;
  plan.samples_in_flight = plan.cached_chunk_size = s.chunk_size;
  plan.total_steps = run.total_steps;
  plan.schedule = "cosine";
  plan.peak_lr = lr;
  plan.warmup_steps = warmup_steps;
  plan.beta2 = optimizer.options().beta2;
  plan.precision = precision.name;
  plan.weight_bytes = bytes.weights;
  plan.gradient_bytes = bytes.gradients;
  plan.optimizer_bytes = bytes.optimizer;
  plan.free_memory_bytes = cp::free_memory_bytes(device);
  const bool may_start = cp::announce_plan(plan, std::cout, s.force);
  TORCH_CHECK(may_start, "the plan was refused; change what it names, or pass --force");
  const cp::WarmupCosine schedule({.peak_lr = lr, .warmup_steps = warmup_steps, .total_steps = run.total_steps});
  if (s.plan) return;

  // ---- Step: batch in, gradients out ----
  const cp::PairStepOptions inputs{.x_input = "x",
                                   .y_input = "y",
                                   .trim_x = true,
                                   .trim_y = true,
                                   .negatives_input = s.hard_negatives > 0 ? "negatives" : ""};
  cp::GradCache step_gradients(cp::pair_step_model(model, device, inputs),
                               cp::TiledInfoNce({.tiles = {.matmul_dtype = precision.product_dtype()}}),
                               {.chunk_size = s.chunk_size, .keep_bytes = 1e9 * s.keep_gigabytes},
                               {.precision = precision, .device = device, .scaler = &scaler});

  // ---- Resume ----
  std::int64_t step = 0, epoch = 0, batch_in_epoch = 0;
  const cp::CheckpointFolder checkpoints(s.output);
  if (!s.resume.empty()) {
    const auto from = checkpoints.find(s.resume);
    const auto parts = cp::load_checkpoint(from);
    cp::load_module_state(*model, cp::checkpoint_part(parts, "model"));
    optimizer.load_state(cp::checkpoint_part(parts, "optimizer"));
    scaler.load_state(cp::checkpoint_part(parts, "scaler"));
    cp::restore_rng_state(cp::checkpoint_part(parts, "random"));
    const cp::State& progress = cp::checkpoint_part(parts, "progress");
    step = progress.scalar<std::int64_t>("step");
    epoch = progress.scalar<std::int64_t>("epoch");
    batch_in_epoch = progress.scalar<std::int64_t>("batch");
    checkpoints.discard_after(step);
    std::cout << "resumed from " << from.string() << "\n";
  }

  // ---- Logs ----
  const fs::path output = s.output;
  fs::create_directories(output);
  cp::JsonLinesWriter log(output / "log.jsonl", step > 0 ? std::optional(step) : std::nullopt);
  cp::ProgressLine progress(std::cout, {run.total_steps, s.log_every, /*in_place=*/::isatty(STDOUT_FILENO) == 1});
  cp::ThroughputMeter meter;
  const auto save = [&] {
    const auto pause = meter.pause();
    std::map<std::string, cp::State> parts{{"model", cp::module_state(*model)},
                                           {"optimizer", optimizer.save_state()},
                                           {"scaler", scaler.save_state()},
                                           {"random", cp::rng_state()}};
    parts["progress"].scalars = {{"step", step}, {"epoch", epoch}, {"batch", batch_in_epoch}};
    checkpoints.save(step, std::move(parts));
  };

  double training_seconds = 0.0;  // without evaluation, to compare runs at equal time
  const auto evaluate = [&] {
    if (eval_pairs.empty()) return;
    const auto pause = meter.pause();
    const torch::NoGradGuard no_grad;
    const cp::AutocastGuard autocast(precision, device);
    model->eval();
    std::vector<at::Tensor> x, y;
    for (std::size_t begin = 0; begin < eval_pairs.size(); begin += 256) {
      std::vector<std::string> xs, ys;
      for (std::size_t i = begin; i < std::min(begin + 256, eval_pairs.size()); ++i) {
        xs.push_back(eval_pairs[i].x);
        ys.push_back(eval_pairs[i].y);
      }
      x.push_back(model->encode_image(x_tokenizer.encode_all(xs).to(device)));
      y.push_back(model->encode_text(y_tokenizer.encode_all(ys).to(device)));
    }
    const auto owner = at::arange(static_cast<std::int64_t>(eval_pairs.size()), at::kLong);
    const auto found = cp::retrieval_metrics(at::cat(x), at::cat(y), owner).x_to_y;
    model->train();
    std::ostringstream line;
    line << "after " << step << " steps, " << step * s.batch_size << " samples, " << std::lround(training_seconds)
         << " s: MRR " << std::setprecision(3) << found.mean_reciprocal_rank << ", R@1 " << found.recall_at_1
         << ", R@5 " << found.recall_at_5 << ", R@10 " << found.recall_at_10 << " among " << found.queries;
    progress.note(line.str());
    log.write(step, {{"seconds", training_seconds},
                     {"samples_seen", static_cast<double>(step * s.batch_size)},
                     {"mrr", found.mean_reciprocal_rank},
                     {"recall_at_1", found.recall_at_1},
                     {"recall_at_5", found.recall_at_5},
                     {"recall_at_10", found.recall_at_10}});
  };

  // ---- The loop ----
  const auto last_step = s.stop_after > 0 ? std::min(s.stop_after, run.total_steps) : run.total_steps;
  model->train();
  loader.start_epoch(epoch, batch_in_epoch);
  while (step < last_step) {
    const auto begin = std::chrono::steady_clock::now();
    const auto batch = loader.next();
    if (!batch) {
      loader.start_epoch(++epoch, batch_in_epoch = 0);
      continue;
    }
    optimizer.zero_grad();
    const cp::LossTerms loss = step_gradients(*batch);
    const auto found_inf = scaler.unscale_(parameters);
    const auto norm = cp::clip_grad_norm_(parameters, s.clip);
    const double step_lr = schedule(step);
    optimizer.step(step_lr, {.found_inf = found_inf});
    scaler.update();
    model->clamp_logit_scale_();
    ++step;
    ++batch_in_epoch;
    meter.add(s.batch_size);
    training_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();

    if (step % s.log_every == 0 || step % s.save_every == 0 || step == last_step) {  // only here the host waits
      const cp::StepState state{.step = step,
                                .samples = step * s.batch_size,
                                .epoch = static_cast<double>(step) / static_cast<double>(run.steps_per_epoch()),
                                .loss = loss.total.item<double>(),
                                .lr = step_lr,
                                .scale = model->scale().item<double>(),
                                .gradient_norm = norm.item<double>(),
                                .samples_per_second = meter.next_window().samples_per_second};
      progress.on_step(state);
      log.write(state);
      TORCH_CHECK(std::isfinite(state.loss) || scaler.enabled(), "the loss is ", state.loss, " at step ", step,
                  "; lower --lr, lengthen --warmup or use --precision fp32, and go on with --resume latest");
    }
    const auto samples = step * s.batch_size;
    if (s.eval_every > 0 && step != last_step && samples / s.eval_every > (samples - s.batch_size) / s.eval_every)
      evaluate();
    if (step % s.save_every == 0 && step != last_step) save();
  }
  save();
  evaluate();
  progress.finish();
  try {
    cp::write_curves(output / "log.jsonl", output / "curves.png", {.title = "text pairs"});
  } catch (const std::exception& error) {
    std::cerr << "no picture of the curves: " << cp::error_text(error) << "\n";
  }
  std::cout << "wrote log, curves and checkpoints into " << s.output << "\n";
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  CLI::App app{"Trains two text towers to find each other's texts, with batches larger than memory."};
  add_flags(app, s);
  CLI11_PARSE(app, argc, argv);
  try {
    train(s);
  } catch (const std::exception& error) {
    std::cerr << "train_text_pairs: " << cp::error_text(error) << "\n";
    return 1;
  }
}
