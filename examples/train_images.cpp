// SPDX-License-Identifier: CC0-1.0
// Trains an image tower so that two views of one image are close (SimCLR), or all images of one
// class (SupCon), and measures its features by a vote of the nearest neighbors. It runs as one
// process or as any number of ranks.
//
//   train_images --model examples/models/cifar-rn.json                  # built-in shapes
//   train_images --config examples/recipes/supcon_cifar10.toml --train-data 'train-{000..019}.tar'
//   scripts/launch -n 2 train_images ...                                # or torchrun, srun, mpirun
//
// Every image is decoded once and augmented twice. The loss compares each view with all views of
// the whole batch, whatever --chunk-size and the number of ranks are. A plan is printed before step
// 0. The output folder receives config.json, log.jsonl, curves.png, step-*/ checkpoints and
// image_tower.safetensors, the weights without the projection; --resume continues a run.
//
// What to expect: with recipes/supcon_cifar10.toml 55 % of the test images find their class by
// their nearest neighbors after five epochs, in 5.5 minutes on two CPU cores.
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>

#include <CLI/CLI.hpp>
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

namespace {

// ==== Settings =================================================================================
/// RunSettings: output, resume, log_every, plan and so on. DataSettings: train_data, eval_data.
/// AugmentationSettings: color_jitter, blur, augment. OptimizerSettings: optimizer, weight_decay.
struct Settings : cp::RunSettings,
                  cp::DataSettings,
                  cp::AugmentationSettings,
                  cp::ImageTowerSettings,
                  cp::ScheduleSettings,
                  cp::OptimizerSettings {
  Settings() {
    output = "runs/train_images", lr = 1e-3;
    crop_area = 0.2, flip = true, color_jitter = 0.5, grayscale = 0.2;
  }
  // Data
  // Model
  std::string model = "RN50", loss = "nt-xent";
  std::int64_t projection_dim = 128;
  double temperature = 0.1;
  bool checkpoint_activations = false;
  // Optimization
  std::int64_t batch_size = 256;
  std::string chunk_size = "none", precision = "fp32";
  double clip = 1.0, ema = 0.0;
  std::uint64_t seed = 0;
  // Run
  std::int64_t eval_every = 1;
};

/// Describes every setting once. The command line, --config FILE.toml, config.json and the
/// comparisons between ranks and with an earlier run are made from this table.
cp::SettingsTable describe(Settings& s) {
  cp::SettingsTable t;
  t.section("Data");
  cp::add_data_settings(t, s);
  cp::add_order_settings(t, s);
  cp::add_training_augmentation_settings(t, s);
  t.section("Model");
  t.add("model", s.model, "its image tower is used: a name such as RN50, or an OpenCLIP .json");
  cp::add_image_tower_settings(t, s);
  t.add("loss", s.loss, "supcon needs labels").one_of({"nt-xent", "supcon"});
  t.add("projection-dim", s.projection_dim, "width of the features that the loss compares")
      .check(cp::at_least(1));
  t.add("temperature", s.temperature, "divides the cosine similarities").check(cp::above(0));
  t.add("checkpoint-activations", s.checkpoint_activations, "recompute the blocks in backward");
  t.section("Optimization");
  t.add("batch-size", s.batch_size, "images in one optimizer step, over all ranks");
  t.add("chunk-size", s.chunk_size, "GradCache: images in memory at once per rank, 'auto', 'none'")
      .readable_by(cp::parse_chunk_size);
  cp::add_schedule_settings(t, s);
  cp::add_phase_settings(t, s);
  cp::add_optimizer_settings(t, s);
  t.add("clip", s.clip, "largest norm of the gradient; 0: no clipping").check(cp::at_least(0));
  t.add("ema", s.ema, "decay of the averaged weights, which are evaluated and exported; 0: none");
  t.add("precision", s.precision, "fp32, tf32, fp16, bf16 or pure_bf16")
      .readable_by(cp::precision_policy);
  t.add("seed", s.seed, "seed of weights, data order and views");
  t.section("Run");
  t.add("eval-every", s.eval_every, "epochs per evaluation").check(cp::at_least(1)).may_change();
  cp::add_run_settings(t, s);
  return t;
}

/// The tower whose features are kept, and a projection that only the loss sees. Features before the
/// projection are better (Chen et al. 2020, https://arxiv.org/abs/2002.05709, section 4.2).
struct ImageModelImpl : torch::nn::Module {
  ImageModelImpl(cp::AnyTower image_tower, std::int64_t width, std::int64_t projection_dim)
      : tower(std::move(image_tower)), hidden(width, width), out(width, projection_dim) {
    register_module("tower", tower.ptr());
    register_module("hidden", hidden);
    register_module("out", out);
  }

  /// Images [B, 3, S, S] to [B, projection_dim].
  at::Tensor forward(const at::Tensor& images) { return out(at::relu(hidden(tower(images)))); }

  cp::AnyTower tower;
  torch::nn::Linear hidden, out;
};
TORCH_MODULE(ImageModel);

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
  auto config = cp::with_image_tower_settings(cp::find_model_config(s.model), s);
  config.image_only = true;
  const auto open = [&](const std::string& spec, std::int64_t n, std::uint64_t seed) {
    return cp::open_data(s, spec, out, {.samples = n, .seed = seed});
  };
  const cp::ImageTransformOptions pixels = cp::training_transform(config, s);
  const auto images = cp::with_image_cache(open(s.train_data, 6'000, 0), s, out);
  cp::LoaderOptions loading =
      cp::with_data_settings({.batch_size = cp::samples_per_rank(s.batch_size, ranks),
                              .seed = s.seed,
                              .views = 2,
                              .ranks = ranks,
                              .augment_device = cp::augment_device(s, device),
                              .pin_memory = device.is_cuda(),
                              .channels_last = true},
                             s, *images);
  cp::SkippedSampleFile skipped(std::cerr);
  loading.on_skip = skipped;
  cp::DataLoader loader(images, cp::ImageTransform(pixels), nullptr, loading);
  cp::check_same_on_all_ranks(ranks, "the number of batches in an epoch",
                              loader.batches_per_epoch());
  for (const auto& line : loader.describe_epoch()) out << line << "\n";
  const bool built_in = s.train_data == "synthetic", evaluates = built_in || !s.eval_data.empty();
  std::optional<cp::DataLoader> gallery_loader, eval_loader;
  if (evaluates) {
    loading = loading.for_evaluation();
    loading.cache_decoded = false;  // one copy of the decoded images is enough
    const cp::ImageTransform plain(pixels.for_evaluation());
    gallery_loader.emplace(images, plain, nullptr, loading);
    eval_loader.emplace(open(s.eval_data.empty() ? s.train_data : s.eval_data, 1'500, 1), plain,
                        nullptr, loading);
    static_cast<void>(cp::check_labels(eval_loader->source()));
  }
  // Missing labels are found now and not in the middle of the run.
  if (evaluates || s.loss == "supcon") static_cast<void>(cp::check_labels(*images));

  // ==== Model ==================================================================================
  ImageModel model(cp::make_image_tower(config), config.embed_dim, s.projection_dim);
  if (s.checkpoint_activations) model->tower.checkpoint_activations(true);
  model->to(device);
  cp::apply_precision_(*model, precision);
  cp::synchronize_batch_norm(*model, ranks);
  cp::broadcast_module_(*model, ranks);
  const auto to_images = cp::image_normalizer(config);

  // ==== Loss ===================================================================================
  const cp::TileOptions tiles{.matmul_dtype = precision.product_dtype()};
  const cp::NtXent nt_xent(tiles, ranks);
  const cp::SupCon supcon(tiles, ranks);
  const auto loss = [&](const cp::Embeddings& e) -> cp::LossTerms {
    return s.loss == "supcon" ? supcon(e) : nt_xent(e);
  };

  // ==== Optimizer, schedule, averages ==========================================================
  const auto run =
      cp::run_length(s, loader.samples_per_epoch(), s.batch_size, cp::phase_of(config));
  const auto schedule = cp::make_schedule(s, run);
  auto optimizer = cp::make_optimizer(s, cp::decay_groups(*model, s.weight_decay), ranks,
                                      {.beta2 = 0.98}, s.batch_size);
  const auto parameters = optimizer.parameters();
  const double max_norm = s.clip > 0.0 ? s.clip : std::numeric_limits<double>::infinity();
  cp::LossScaler scaler(precision, device);
  cp::Ema ema(*model, s.ema);

  // ==== Step: batch in, gradients out ==========================================================
  const auto encode = [&](const at::Tensor& bytes) -> cp::Features {
    return model(to_images(bytes.to(device)));
  };
  const auto scale =
      at::full({}, 1.0 / s.temperature, at::TensorOptions(at::kFloat).device(device));
  const auto head = [&](const std::vector<cp::Features>& views, const cp::Batch& batch) {
    cp::Embeddings e{cp::unit_rows(views[0].tensors.front()),
                     cp::unit_rows(views[1].tensors.front()), scale};
    if (s.loss == "supcon") e.group_ids = batch.at("label").to(device);
    return e;
  };
  const cp::StepModel step_model{
      std::vector<cp::Encoder>{{cp::view_name(0), encode}, {cp::view_name(1), encode}}, head,
      model->parameters(), model->buffers()};
  cp::GradCache compute_gradients(
      step_model, loss, {.chunk_size = cp::parse_chunk_size(s.chunk_size)},
      {.precision = precision, .device = device, .scaler = &scaler, .ranks = ranks});

  cp::PhaseWatch phase_at(run, [&](const cp::RunPhase& phase) {  // Other sizes from this step on.
    loader.change(cp::ImageTransform(pixels.with_size(phase.image_size)), nullptr,
                  cp::samples_per_rank(phase.batch_size, ranks));
    model->tower.accept_images(phase.image_size);
    compute_gradients.measure_again();
  });

  // ==== Plan ===================================================================================
  auto model_facts =
      cp::model_facts(*model, "image tower of " + config.name, {model->tower, model->tower});
  model_facts.checkpoints_activations = s.checkpoint_activations;
  cp::RunPlan plan(model_facts, precision, schedule, optimizer, ema, compute_gradients, ranks,
                   cp::DataFacts{.samples = run.dataset_samples, .batch_size = s.batch_size}, free);
  for (const auto& facts : cp::phase_facts(run, config, ranks, /*views=*/2)) plan.add(facts);
  const cp::RunFolder folder(s.output, {.resume = s.resume, .look_only = s.plan}, ranks);
  plan.refuse_changes(cp::setting_differences(settings, folder.earlier_config()));
  const bool may_start = cp::announce_plan(plan, out, s.force);
  TORCH_CHECK(may_start, "the plan was refused; change what it names, or pass --force");
  if (s.plan) return;

  // ==== Resume =================================================================================
  cp::RunProgress progress;
  cp::CheckpointParts parts;
  parts.add("model", *model).add("optimizer", optimizer).add("scaler", scaler).add("ema", ema);
  parts.add("loader", loader).add("progress", progress);
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
    if (!evaluates) return std::nullopt;
    const auto pause = meter.pause();
    const torch::NoGradGuard no_grad;
    const cp::AutocastGuard autocast(precision, device);
    const cp::EmaScope averaged(ema);
    const cp::ImageSizeScope full_size(model->tower, run.full_image_size());
    model->eval();
    const auto features = [&](const at::Tensor& bytes) {
      ranks.progress(progress.step);
      return model->tower(to_images(bytes.to(device)));
    };
    const auto gallery = cp::labeled_features(*gallery_loader, features);
    const auto queries = cp::labeled_features(*eval_loader, features);
    const auto result = cp::nearest_neighbor_accuracy(gallery, queries, {}, ranks);
    model->train();
    auto record = run.record(progress);
    record.add("knn_top1", result.top1).add("knn_top5", result.top5);
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
    ema.update();
    progress.advance(phase.batch_size);
    meter.add(phase.batch_size);

    const bool last = progress.step == last_step;
    const bool saves = progress.step % s.save_every == 0 && !last;
    if (progress.step % s.log_every == 0 || saves || last) {
      const auto window = meter.next_window(loader.statistics().times);
      cp::StepRecord record = run.record(progress);  // the host waits for the device only here
      record.add(terms).add("lr", lr).add("gradient_norm", norm.item<double>()).add(window);
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
  cp::write_safetensors(folder / "image_tower.safetensors",
                        cp::module_state(*model->tower).tensors);
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
  CLI::App app{"Trains an image tower on pairs of views and measures its nearest neighbors."};
  cp::add_to_command_line(app, settings);
  CLI11_PARSE(app, argc, argv);
  cp::Ranks ranks;
  try {
    ranks = cp::join_ranks({.device = s.device});
    train(s, settings, ranks);
    ranks.sign_off();
  } catch (const std::exception& error) {
    std::cerr << "train_images: " << ranks.explain(error) << "\n";
    return 1;
  }
}
