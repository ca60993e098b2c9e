// SPDX-License-Identifier: CC0-1.0
// Trains a CLIP model on image-text pairs, with or without a teacher, and measures its zero-shot
// accuracy. It runs as one process or as any number of ranks.
//
//   train_clip --model examples/models/cifar-rn.json                    # built-in shapes
//   train_clip --config examples/recipes/rn50_cc3m.toml --train-data 'cc3m/{00000..00331}.tar'
//   torchrun --no-python --nproc-per-node 8 train_clip --config ...     # or scripts/launch, srun
//
// The batch size is that of one optimizer step over all ranks. The gradient is that of this batch,
// whatever --chunk-size and the number of ranks are. A plan is printed before step 0, and a run
// that would be wasted is refused. --resume continues a run, bit-equal on the CPU, and also with
// another number of ranks. docs/reference/settings.md describes the settings and the output.
//
// What to expect: recipes/cifar10.toml reaches 82.5 % zero-shot accuracy (loss 3.6) in 13 to 28
// minutes on two CPU cores (docs/measurements/cifar10.md). The other recipes have comments on this.
#include <torch/utils.h>

#include <CLI/CLI.hpp>
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

namespace {

// ==== Settings =================================================================================
/// RunSettings: output, resume, log_every, plan and so on. DataSettings: train_data, eval_data,
/// threads. TeacherSettings: teacher, distillation. AugmentationSettings: color_jitter, augment.
/// ImageTowerSettings: image_size. ScheduleSettings: epochs, lr, warmup, phases. OptimizerSettings:
/// optimizer, beta2, weight_decay.
struct Settings : cp::RunSettings,
                  cp::DataSettings,
                  cp::TeacherSettings,
                  cp::AugmentationSettings,
                  cp::ImageTowerSettings,
                  cp::ScheduleSettings,
                  cp::OptimizerSettings {
  Settings() { output = "runs/train_clip", weight_decay = 0.2; }
  // Data
  std::string class_names, vocabulary;
  std::vector<std::string> templates = {"a photo of a {}."};
  // Model
  std::string model = "ViT-B-32", weights, loss = "infonce", batch_norm = "synchronized";
  std::string weights_model, weights_units = "leading";
  bool lock_image = false, lock_text = false, checkpoint_activations = false, ring = false;
  // Optimization
  std::int64_t batch_size = 256;
  std::string chunk_size = "none", precision = "fp32";
  double layer_decay = 1.0, clip = 1.0, ema = 0.0;
  std::uint64_t seed = 0;
  // Run
  std::int64_t eval_every = 1, pretend_samples = 0;
};

/// Describes every setting once. The command line, --config FILE.toml, config.json and the
/// comparisons between ranks and with an earlier run are made from this table.
cp::SettingsTable describe(Settings& s) {
  cp::SettingsTable t;
  t.section("Data");
  cp::add_data_settings(t, s);
  cp::add_order_settings(t, s);
  cp::add_caption_settings(t, s);
  t.add("class-names", s.class_names, "file with a name on each line; empty: as eval-data says");
  t.add("vocabulary", s.vocabulary, "CLIP's bpe_simple_vocab_16e6.txt.gz; empty: bytes are tokens");
  t.add("templates", s.templates, "zero-shot prompts; {} becomes the name of the class");
  cp::add_training_augmentation_settings(t, s);
  t.section("Model");
  t.add("model", s.model, "a name such as RN50, a .json file in OpenCLIP's format, or weights");
  cp::add_image_tower_settings(t, s);
  t.add("weights", s.weights, "OpenCLIP weights (.safetensors or .pt) to start from; empty: none");
  t.add("weights-model", s.weights_model, "larger model to inherit them from; empty: this model");
  t.add("weights-units", s.weights_units, "units to inherit").one_of({"leading", "magnitude"});
  t.add("loss", s.loss, "contrastive loss").one_of({"infonce", "sigmoid", "local-infonce"});
  t.add("ring", s.ring, "texts travel from rank to rank: less memory, the same loss");
  cp::add_teacher_settings(t, s);
  t.add("lock-image", s.lock_image, "freeze the image tower");
  t.add("lock-text", s.lock_text, "freeze the text tower");
  t.add("batch-norm", s.batch_norm, "statistics of batch norm").one_of({"synchronized", "frozen"});
  t.add("checkpoint-activations", s.checkpoint_activations, "recompute the blocks in backward");
  // snippet: settings
  t.section("Optimization");
  t.add("batch-size", s.batch_size, "pairs in one optimizer step, over all ranks");
  t.add("chunk-size", s.chunk_size, "GradCache: pairs in memory at once per rank, 'auto' or 'none'")
      .readable_by(cp::parse_chunk_size);
  // snippet end
  cp::add_schedule_settings(t, s);
  cp::add_phase_settings(t, s);
  cp::add_optimizer_settings(t, s);
  t.add("layer-decay", s.layer_decay, "factor of the rate per layer towards the input; 1: none")
      .check(cp::above(0))
      .check(cp::in_range(0, 1));
  t.add("clip", s.clip, "largest norm of the gradient; 0: no clipping").check(cp::at_least(0));
  t.add("ema", s.ema, "decay of the averaged weights, which are evaluated and exported; 0: none");
  t.add("precision", s.precision, "fp32, tf32, fp16, bf16 or pure_bf16")
      .readable_by(cp::precision_policy);
  t.add("seed", s.seed, "seed of weights, data order, crops and dropout");
  t.section("Run");
  t.add("eval-every", s.eval_every, "epochs per evaluation").check(cp::at_least(1)).may_change();
  t.add("pretend-samples", s.pretend_samples, "with plan: size of train-data").may_change();
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
  cp::ModelConfig config = cp::with_image_tower_settings(cp::find_model_config(s.model), s);
  const cp::Tokenizer tokenizer = cp::make_tokenizer(s.vocabulary, config.text.context_length);
  config.text.vocab_size = tokenizer.vocab_size;
  const auto open = [&](const std::string& spec, std::int64_t n, std::uint64_t seed) {
    return cp::open_data(s, spec, out, {.samples = n, .seed = seed});
  };
  const cp::ImageTransformOptions pixels = cp::training_transform(config, s);
  const bool trims = !config.text.reads_padding();  // texts are cut after their last token
  const auto train_source = cp::with_image_cache(
      open(s.train_data, s.pretend_samples > 0 ? s.pretend_samples : 6'000, 0), s, out);
  cp::LoaderOptions loading =
      cp::with_data_settings({.batch_size = cp::samples_per_rank(s.batch_size, ranks),
                              .seed = s.seed,
                              .pad_text_to = trims ? 0 : config.text.context_length,
                              .ranks = ranks,
                              .augment_device = cp::augment_device(s, device),
                              .pin_memory = device.is_cuda(),
                              .channels_last = true},
                             s, *train_source);
  const auto student = cp::with_varying_sizes(config, s.phases);  // what teachers compare with
  cp::add_teacher_readings(loading, s, student, s.vocabulary);
  cp::SkippedSampleFile skipped(std::cerr);
  loading.on_skip = skipped;
  cp::DataLoader loader(train_source, cp::ImageTransform(pixels), tokenizer.encode, loading);
  cp::check_same_on_all_ranks(ranks, "the number of batches in an epoch",
                              loader.batches_per_epoch());
  for (const auto& line : loader.describe_epoch()) out << line << "\n";
  std::optional<cp::DataLoader> eval_loader;
  std::vector<std::string> classes;
  if (const bool built_in = s.train_data == "synthetic"; built_in || !s.eval_data.empty()) {
    eval_loader.emplace(open(s.eval_data.empty() ? s.train_data : s.eval_data, 1'500, 1),
                        cp::ImageTransform(pixels.for_evaluation()), nullptr,
                        loading.for_evaluation());
    classes =
        s.class_names.empty() ? eval_loader->source().class_names() : cp::read_lines(s.class_names);
    // Faults of the evaluation data are found now and not after the first epoch.
    const auto counts = cp::check_labels(eval_loader->source(), std::ssize(classes));
    for (const auto unseen : counts.unseen())
      out << "eval-data has no sample of class " << unseen << "\n";
  }

  // ==== Model ==================================================================================
  if (s.loss == "sigmoid") config = cp::with_sigmoid_head(config);
  cp::DualEncoder model = cp::make_dual_encoder(config);
  if (!s.weights.empty())
    for (const auto& line : cp::start_from(model, config, s.weights, s.weights_model,
                                           {.units = cp::unit_rule(s.weights_units)}))
      out << "inherited " << line << "\n";
  if (s.lock_image) cp::lock_image_tower(model);
  if (s.lock_text) cp::lock_text_tower(model);
  if (s.checkpoint_activations) cp::checkpoint_activations(*model);
  model->to(device);
  cp::apply_precision_(*model, precision);
  if (s.batch_norm == "frozen")
    cp::freeze_batch_norm(*model);
  else
    cp::synchronize_batch_norm(*model, ranks);
  cp::broadcast_module_(*model, ranks);
  const auto to_images = cp::image_normalizer(config);
  auto teachers = cp::load_teachers(s, loader.teacher_stores(), student, precision, device);

  // ==== Loss ===================================================================================
  const cp::TileOptions tiles{.matmul_dtype = precision.product_dtype()};
  const cp::TiledInfoNce info_nce({.tiles = tiles, .ring = s.ring}, ranks);
  const cp::TiledSigmoidLoss sigmoid({.tiles = tiles, .ring = s.ring}, ranks);
  const cp::LocalInfoNce local({.tiles = tiles, .gather_with_grad = true}, ranks);
  const auto contrast = [&](const cp::Embeddings& e) -> cp::LossTerms {
    return s.loss == "sigmoid" ? sigmoid(e) : s.loss == "infonce" ? info_nce(e) : local(e);
  };
  const auto loss = cp::distillation_loss(s, contrast, {.tiles = tiles, .ring = s.ring}, ranks);

  // ==== Optimizer, schedule, averages ==========================================================
  const bool pretends = s.plan && s.pretend_samples > 0;
  const auto run = cp::run_length(s, pretends ? s.pretend_samples : loader.samples_per_epoch(),
                                  s.batch_size, cp::phase_of(config));
  const auto schedule = cp::make_schedule(s, run);
  const auto groups = cp::layer_decay(cp::distillation_groups(*model, teachers, s.weight_decay),
                                      model, s.layer_decay);
  auto optimizer =
      cp::make_optimizer(s, groups, ranks, cp::clip_adamw_options(config), s.batch_size);
  const auto parameters = optimizer.parameters();
  const double max_norm = s.clip > 0.0 ? s.clip : std::numeric_limits<double>::infinity();
  cp::LossScaler scaler(precision, device);
  cp::Ema ema(*model, s.ema);

  // ==== Step: batch in, gradients out ==========================================================
  cp::GradCache compute_gradients(
      cp::with_teachers(
          cp::pair_step_model(model, device, {.prepare_x = to_images, .trim_y = trims}), teachers),
      loss, {.chunk_size = cp::parse_chunk_size(s.chunk_size)},
      {.precision = precision, .device = device, .scaler = &scaler, .ranks = ranks});

  cp::PhaseWatch phase_at(run, [&](const cp::RunPhase& phase) {  // Other sizes from this step on.
    loader.change(cp::ImageTransform(pixels.with_size(phase.image_size)),
                  cp::make_tokenizer(s.vocabulary, phase.text_length).encode,
                  cp::samples_per_rank(phase.batch_size, ranks), loading.pad_text_to);
    model->visual().accept_images(phase.image_size);
    compute_gradients.measure_again();
  });

  // ==== Plan ===================================================================================
  auto model_facts = cp::model_facts(*model, config);
  model_facts.checkpoints_activations = s.checkpoint_activations;
  cp::RunPlan plan(model_facts, precision, schedule, optimizer, ema, compute_gradients, ranks,
                   cp::DataFacts{.samples = run.dataset_samples, .batch_size = s.batch_size},
                   cp::WeightsFacts{.name = s.weights}, free);
  for (const auto& facts : teachers.facts) plan.add(facts);
  for (const auto& facts : cp::phase_facts(run, config, ranks)) plan.add(facts);
  const cp::RunFolder folder(s.output, {.resume = s.resume, .look_only = s.plan}, ranks);
  plan.refuse_changes(cp::setting_differences(settings, folder.earlier_config()));
  const bool may_start = cp::announce_plan(plan, out, s.force);
  if (s.plan) out << cp::learning_rate_curve(schedule, run.total_steps) << "\n";
  TORCH_CHECK(may_start, "the plan was refused; change what it names, or pass --force");
  if (s.plan) return;

  // ==== Resume =================================================================================
  cp::RunProgress progress;
  cp::CheckpointParts parts;
  parts.add("model", *model).add("optimizer", optimizer).add("scaler", scaler).add("ema", ema);
  parts.add("loader", loader).add("progress", progress);
  if (teachers.maps) parts.add("feature_maps", *teachers.maps);
  loader.start_epoch(0);
  if (folder.resumes()) folder.load(parts);
  for (const auto& note : folder.notes()) out << note << "\n";
  cp::on_first_rank(ranks, [&] { cp::write_settings(folder.config(), settings); });

  // ==== Sinks of the step record ===============================================================
  skipped.open(folder.rank_file("skipped", ".txt"));
  cp::ProgressLine line(out, {run.total_steps, s.log_every, cp::stdout_is_terminal()});
  cp::JsonLinesWriter log(folder.rank_file("log", ".jsonl"), progress.step);
  cp::EvaluationTable scores(folder.rank_file("evaluations", ".csv"), progress.step, s.compare);
  cp::ThroughputMeter meter;

  // ==== Evaluation =============================================================================
  const auto evaluate = [&]() -> std::optional<double> {
    if (!eval_loader) return std::nullopt;
    const auto pause = meter.pause();
    const torch::NoGradGuard no_grad;
    const cp::AutocastGuard autocast(precision, device);
    const cp::EmaScope averaged(ema);
    const cp::ImageSizeScope full_size(model->visual(), run.full_image_size());
    model->eval();
    const auto encode_text = [&](const at::Tensor& tokens) {
      return model->encode_text(tokens.to(device));
    };
    const auto encode_image = [&](const at::Tensor& bytes) {
      ranks.progress(progress.step);
      return model->encode_image(to_images(bytes.to(device)));
    };
    const auto classifier =
        cp::zero_shot_classifier(encode_text, tokenizer.encode_all, classes, s.templates);
    const auto result = cp::evaluate_zero_shot(*eval_loader, encode_image, classifier, ranks);
    model->train();
    auto record = run.record(progress);
    record.add("zero_shot_top1", result.top1).add("zero_shot_top5", result.top5);
    cp::notify_evaluation(record, line, log, scores);
    return result.top1;
  };

  // ==== The loop ===============================================================================
  const auto last_step = s.last_step(run.total_steps);
  model->train();
  while (progress.step < last_step) {
    const auto phase = phase_at(progress.step);
    const auto batch = loader.next();
    if (!batch) {  // The metric of a checkpoint belongs to exactly the weights in it.
      const auto epoch = loader.epoch() + 1;
      const auto metric = epoch % s.eval_every == 0 ? evaluate() : std::nullopt;
      loader.start_epoch(epoch);
      if (metric) folder.save(progress.step, parts, metric);
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
    ema.update();
    progress.advance(phase.batch_size);
    meter.add(phase.batch_size);

    const bool last = progress.step == last_step;
    const bool saves = progress.step % s.save_every == 0 && !last;
    if (progress.step % s.log_every == 0 || saves || last) {
      const auto window = meter.next_window(loader.statistics().times);
      cp::StepRecord record = run.record(progress);  // the host waits for the device only here
      record.add(terms).add("lr", lr).add("scale", model->scale().item<double>());
      record.add("gradient_norm", norm.item<double>()).add(window);
      cp::notify(record, line, log);
      cp::check_loss_is_finite(record, scaler.enabled());
    }
    if (saves) folder.save(progress.step, parts);
  }
  folder.save(progress.step, parts, evaluate());
  line.finish();

  // ==== Results ================================================================================
  if (!ranks.is_first()) return;
  const cp::EmaScope averaged(ema);
  cp::write_safetensors(folder / "open_clip_model.safetensors", cp::open_clip_state(model, config));
  if (!config.custom_text) cp::write_model_config(folder / "open_clip_config.json", config);
  out << scores.text() << loader.statistics().skipped << " samples were skipped\n";
  out << "wrote weights, log and checkpoints to " << s.output << "\n";
  if (!cp::write_curves(folder / "log.jsonl", folder / "curves.png",
                        {.title = config.name, .evaluations = scores.series()}))
    out << "curves.png: gnuplot is not installed\n";
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  cp::SettingsTable settings = describe(s);
  CLI::App app{"Trains a CLIP model on image-text pairs and measures its zero-shot accuracy."};
  cp::add_to_command_line(app, settings);
  CLI11_PARSE(app, argc, argv);
  cp::Ranks ranks;
  try {
    ranks = cp::join_ranks({.device = s.device});
    train(s, settings, ranks);
    ranks.sign_off();
  } catch (const std::exception& error) {
    std::cerr << "train_clip: " << ranks.explain(error) << "\n";
    return 1;
  }
}
