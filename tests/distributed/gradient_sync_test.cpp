// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/distributed/gradient_sync.hpp"

#include "contrapunto/distributed/single_process.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"
#ifdef CONTRAPUNTO_HAS_DISTRIBUTED
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include "distributed/local_world.hpp"
#endif

using namespace contrapunto;
using Catch::Matchers::Contains;
using test::close;

namespace {

/// Two ranks with equal tensors in one process, so sums are twice the input. It records the calls.
class TwinRanks {
 public:
  std::int64_t rank() const { return 0; }
  std::int64_t size() const { return 2; }
  c10::Device device() const { return c10::Device(c10::kCPU); }
  void all_reduce_sum_(at::Tensor& tensor) const { tensor.mul_(2); }
  PendingTensor all_reduce_sum_async(at::Tensor& tensor) const {
    sent->push_back(tensor.numel());
    return PendingTensor([tensor]() mutable { return tensor.mul_(2); });
  }
  at::Tensor all_gather(const at::Tensor& tensor) const { return at::stack({tensor, tensor}); }
  at::Tensor reduce_scatter_sum(const at::Tensor& tensor) const { return tensor[0] * 2; }
  PendingTensor ring_shift(const at::Tensor& tensor, std::int64_t) const {
    return PendingTensor(tensor);
  }
  void broadcast_(at::Tensor&, std::int64_t) const {}
  void barrier() const {}

  std::shared_ptr<std::vector<std::int64_t>> sent = std::make_shared<std::vector<std::int64_t>>();
};
static_assert(Communicator<TwinRanks>);

/// Two towers that share a weight, with a convolution in channels-last memory, a scalar, and two
/// weights that `loss` uses when told to.
struct Model {
  explicit Model(at::ScalarType dtype = at::kDouble) {
    torch::manual_seed(3);
    const auto make = [&](at::IntArrayRef shape) {
      return torch::randn(shape, torch::TensorOptions(dtype));
    };
    scale = make({}).requires_grad_();
    convolution = make({4, 3, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast).requires_grad_();
    first = make({4, 7}).requires_grad_();
    shared = make({7, 5}).requires_grad_();
    second = make({6, 7}).requires_grad_();
    sometimes = make({5}).requires_grad_();
    never = make({3, 2}).requires_grad_();
    frozen = make({2});
  }
  at::Tensor loss(std::int64_t rank, std::int64_t step, bool use_sometimes = false) const {
    torch::manual_seed(static_cast<std::uint64_t>(100 * rank + step + 1));
    const auto images = torch::randn({2, 3, 5, 5}, scale.options().requires_grad(false));
    const auto texts = torch::randn({2, 6}, scale.options().requires_grad(false));
    const auto x = torch::conv2d(images, convolution).mean({2, 3}).mm(first).mm(shared);
    const auto y = texts.mm(second).tanh().mm(shared);
    auto loss = (scale * (x * y)).sum().tanh() + x.square().mean();
    return use_sometimes ? loss + (y * sometimes).sum() : loss;
  }
  /// `shared` occurs twice, as it does when both towers list it.
  std::vector<at::Tensor> parameters() const {
    return {scale, convolution, first, shared, second, shared, sometimes, never, frozen};
  }
  std::vector<at::Tensor> gradients() const {
    std::vector<at::Tensor> result;
    for (const auto& parameter : parameters()) result.push_back(parameter.grad());
    return result;
  }
  void zero_grad() const {
    for (const auto& parameter : parameters()) parameter.mutable_grad().reset();
  }
  at::Tensor scale, convolution, first, shared, second, sometimes, never, frozen;
};

// A bucket has about 40 numbers, so nearly every parameter has its own bucket.
constexpr double kSmallBucket = 300.0 / 1024 / 1024;

}  // namespace

TEST_CASE("Gradients are sent during backward, in the order in which backward produces them",
          "[distributed][cpu]") {
  const TwinRanks world;
  const auto a = torch::ones({100}, torch::requires_grad());
  const auto b = torch::ones({100}, torch::requires_grad());
  const auto c = torch::ones({200}, torch::requires_grad());
  GradientSync sync({a, b, c}, world, {.bucket_megabytes = 600.0 / 1024 / 1024});
  REQUIRE(sync.bucket_count() == 2);  // c; b and a

  for (int step = 0; step < 2; ++step) {
    world.sent->clear();
    for (const auto& parameter : {a, b, c}) parameter.mutable_grad().reset();
    std::size_t sent_before_first = 99;
    const auto first = a * 2;
    first.register_hook([&](const at::Tensor&) { sent_before_first = world.sent->size(); });
    sync.begin_overlap();
    ((first + b).repeat({2}) * c).sum().backward();
    REQUIRE(sent_before_first == 1);
    REQUIRE(*world.sent == std::vector<std::int64_t>{256 + 1, 2 * 128 + 2});
    sync.wait();
    REQUIRE(world.sent->size() == 2);
    REQUIRE(a.grad().equal(torch::full({100}, 8.0)));
    REQUIRE(b.grad().equal(torch::full({100}, 4.0)));
    REQUIRE(c.grad().equal(torch::full({200}, 6.0)));
  }
}

TEST_CASE("A bucket that is complete early waits for those before it", "[distributed][cpu]") {
  const TwinRanks world;
  const auto late = torch::ones({200}, torch::requires_grad());
  const auto early = torch::ones({100}, torch::requires_grad());
  GradientSync sync({early, late}, world, {.bucket_megabytes = kSmallBucket});
  const auto inner = late * 2;
  std::size_t sent = 99;
  inner.register_hook([&](const at::Tensor&) { sent = world.sent->size(); });
  sync.begin_overlap();
  (inner.sum() * early).sum().backward();  // the gradient of `early` comes first
  REQUIRE(sent == 0);
  REQUIRE(*world.sent == std::vector<std::int64_t>{257, 129});
  sync.wait();
}

TEST_CASE("Nothing is sent before begin_overlap(), and a gradient after its bucket is an error",
          "[distributed][cpu]") {
  const TwinRanks world;
  const Model model;
  GradientSync sync(model.parameters(), world, {.bucket_megabytes = kSmallBucket});
  model.loss(0, 0).backward();
  model.loss(0, 1).backward();
  REQUIRE(world.sent->empty());
  sync.begin_overlap();
  REQUIRE_THROWS_WITH(sync.begin_overlap(), Contains("begin_overlap() was called twice"));
  model.loss(0, 2, true).backward();
  REQUIRE(world.sent->empty());  // `never` comes first of all buckets and gets no gradient
  sync.wait();
  REQUIRE(world.sent->size() == static_cast<std::size_t>(sync.bucket_count()));

  const auto weight = torch::ones({100}, torch::requires_grad());
  GradientSync one({weight}, world, {.bucket_megabytes = kSmallBucket});
  one.begin_overlap();
  weight.sum().backward();
  REQUIRE_THROWS_WITH(weight.sum().backward(),
                      Contains("parameter #0 of shape [100]") &&
                          Contains("arrived after it was sent") &&
                          Contains("call begin_overlap() before the last backward"));
}

TEST_CASE("Gradients keep the memory layout of their parameters, and hooks end with the sync",
          "[distributed][cpu]") {
  const TwinRanks world;
  const Model model;
  {
    GradientSync sync(model.parameters(), world);
    REQUIRE(sync.bucket_count() == 1);
    sync.begin_overlap();
    model.loss(0, 0).backward();
    sync.wait();
    REQUIRE(model.convolution.grad().strides() == model.convolution.strides());
    REQUIRE_FALSE(model.convolution.grad().is_contiguous());
    REQUIRE_FALSE(model.never.grad().defined());
    REQUIRE_FALSE(model.frozen.grad().defined());
    // Gradients of a further step are added to the existing ones.
    const auto before = model.first.grad().clone();
    model.loss(0, 0).backward();
    REQUIRE(close(model.first.grad(), before * 1.5));
    sync.begin_overlap();
  }
  world.sent->clear();
  model.loss(0, 0).backward();
  REQUIRE(world.sent->empty());
}

TEST_CASE("Parameters of different dtypes are sent in separate buckets", "[distributed][cpu]") {
  const TwinRanks world;
  const auto wide = torch::ones({3}, torch::requires_grad());
  const auto narrow = torch::ones({3}, torch::dtype(torch::kBFloat16).requires_grad(true));
  const auto also_wide = torch::ones({0, 3}, torch::requires_grad());
  GradientSync sync({wide, narrow, also_wide}, world);
  REQUIRE(sync.bucket_count() == 2);
  (wide + narrow + also_wide.sum()).sum().backward();
  sync.wait();  // without begin_overlap(): everything at once
  REQUIRE(wide.grad().equal(torch::full({3}, 2.0)));
  REQUIRE(narrow.grad().equal(torch::full({3}, 2.0, torch::kBFloat16)));
  REQUIRE(also_wide.grad().sizes() == at::IntArrayRef{0, 3});
}

TEST_CASE("One rank has nothing to sum", "[distributed][cpu]") {
  const Model model;
  GradientSync sync(model.parameters(), SingleProcess{});
  REQUIRE(sync.bucket_count() == 0);
  sync.begin_overlap();
  model.loss(0, 0).backward();
  const auto* before = model.first.grad().data_ptr();
  const auto values = model.first.grad().clone();
  sync.begin_overlap();
  sync.wait();
  REQUIRE(model.first.grad().data_ptr() == before);
  REQUIRE(model.first.grad().equal(values));
  REQUIRE_THROWS_WITH(GradientSync({}, SingleProcess{}, {.bucket_megabytes = 0.0}),
                      Contains("bucket_megabytes is 0"));
}

TEST_CASE("A tensor that is not a leaf cannot be synchronized", "[distributed][cpu]") {
  const auto weight = torch::ones({2}, torch::requires_grad());
  REQUIRE_THROWS_WITH(GradientSync({weight, weight * 2}, TwinRanks{}),
                      Contains("parameter #1 of shape [2] is the result of an operation"));
}

TEST_CASE("On a CUDA device gradients are sent from autograd's own thread", "[distributed][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device: skipped");
    return;
  }
  const TwinRanks world;
  std::vector<at::Tensor> weights;
  for (int i = 0; i < 4; ++i)
    weights.push_back(torch::randn({256, 256}, torch::kCUDA).div_(16).requires_grad_());
  GradientSync sync(weights, world, {.bucket_megabytes = 0.5});  // two weights each
  REQUIRE(sync.bucket_count() == 2);
  const auto backward = [&] {
    auto x = torch::ones({8, 256}, torch::kCUDA);
    for (const auto& weight : weights) x = x.mm(weight).tanh();
    x.sum().backward();
  };
  backward();
  std::vector<at::Tensor> alone;
  for (const auto& weight : weights) {
    alone.push_back(weight.grad().clone());
    weight.mutable_grad().reset();
  }
  sync.begin_overlap();
  backward();
  REQUIRE(world.sent->size() == 2);
  sync.wait();
  for (std::size_t i = 0; i < weights.size(); ++i) REQUIRE(close(weights[i].grad(), alone[i] * 2));
}

#ifdef CONTRAPUNTO_HAS_DISTRIBUTED
namespace {

bool same(const std::vector<at::Tensor>& result, const std::vector<at::Tensor>& expected,
          double factor = 1.0) {
  bool equal = result.size() == expected.size();
  for (std::size_t i = 0; equal && i < result.size(); ++i)
    equal = result[i].defined() == expected[i].defined() &&
            (!result[i].defined() || close(result[i], expected[i], factor));
  return equal;
}

// Gradient of the sum of all ranks' losses over three micro-batches, in one process.
std::vector<at::Tensor> summed_gradients(std::int64_t size, at::ScalarType dtype) {
  const Model model(dtype);
  for (std::int64_t rank = 0; rank < size; ++rank)
    for (std::int64_t micro = 0; micro < 3; ++micro)
      model.loss(rank, micro, rank == 1 && micro == 0).backward();
  return model.gradients();
}

void sums_like_one_process(const ProcessGroupCommunicator& world, GradientSyncOptions options,
                           at::ScalarType dtype) {
  const Model model(dtype);
  const auto expected = summed_gradients(world.size(), dtype);
  GradientSync sync(model.parameters(), world, options);
  for (const bool arm : {true, true, false}) {
    model.zero_grad();
    for (std::int64_t micro = 0; micro < 3; ++micro) {
      if (arm && micro == 2) sync.begin_overlap();
      model.loss(world.rank(), micro, world.rank() == 1 && micro == 0).backward();
    }
    sync.wait();
    REQUIRE(same(model.gradients(), expected, dtype == at::kFloat ? 4.0 : 1.0));
    REQUIRE(model.sometimes.grad().defined());  // rank 1 alone has it
    REQUIRE_FALSE(model.never.grad().defined());
  }
}

void rounds_to_bf16(const ProcessGroupCommunicator& world) {
  const Model model(at::kFloat);
  GradientSync sync(model.parameters(), world, {.bucket_megabytes = kSmallBucket, .bf16 = true});
  sync.begin_overlap();
  model.loss(world.rank(), 0, world.rank() == 1).backward();
  sync.wait();
  std::vector<at::Tensor> expected(model.parameters().size());
  for (std::int64_t rank = 0; rank < 2; ++rank) {
    const Model one(at::kFloat);
    one.loss(rank, 0, rank == 1).backward();
    for (std::size_t i = 0; i < expected.size(); ++i) {
      if (!one.gradients()[i].defined()) continue;
      const auto rounded = one.gradients()[i].to(at::kBFloat16);
      expected[i] = expected[i].defined() ? expected[i] + rounded : rounded;
    }
  }
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto gradient = model.gradients()[i];
    REQUIRE(gradient.defined() == expected[i].defined());
    if (!gradient.defined()) continue;
    REQUIRE(gradient.scalar_type() == at::kFloat);
    REQUIRE(gradient.equal(expected[i].to(at::kFloat)));
  }
}

// c10d's own bucketed all-reduce, which averages gradients.
void agrees_with_reducer(const test::LocalWorld& local) {
  const auto& world = local.world;
  const Model ours(at::kFloat);
  const Model theirs(at::kFloat);
  const std::vector<at::Tensor> parameters{theirs.scale, theirs.convolution, theirs.first,
                                           theirs.shared, theirs.second};
  auto group = c10::make_intrusive<c10d::ProcessGroup>(local.store, static_cast<int>(world.rank()),
                                                       static_cast<int>(world.size()));
  group->setDefaultBackend(c10d::ProcessGroup::BackendType::GLOO);
  group->setBackend(c10::kCPU, c10d::ProcessGroup::BackendType::GLOO, world.backend());
  c10d::Reducer reducer(parameters, {{4, 3}, {2, 1, 0}}, group, std::vector<bool>(5, false),
                        25 << 20, false, false, {}, 1 << 20
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 9
                        ,
                        false, false
#endif
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 11
                        ,
                        std::vector<std::int64_t>{}
#endif
  );
  GradientSync sync({ours.scale, ours.convolution, ours.first, ours.shared, ours.second}, world,
                    {.bucket_megabytes = kSmallBucket});
  for (std::int64_t step = 0; step < 2; ++step) {
    ours.zero_grad();
    theirs.zero_grad();
    reducer.prepare_for_forward();
    const auto loss = theirs.loss(world.rank(), step);
    reducer.prepare_for_backward({});
    loss.backward();
    sync.begin_overlap();
    ours.loss(world.rank(), step).backward();
    sync.wait();
    const auto result = ours.gradients();
    const auto mean = theirs.gradients();
    for (std::size_t i = 0; i < result.size(); ++i) {
      REQUIRE(result[i].defined() == mean[i].defined());
      if (result[i].defined())
        REQUIRE(close(result[i], mean[i] * static_cast<double>(world.size()), 2.0));
    }
  }
}

}  // namespace

TEST_CASE("rank that sums its gradients with the others'", "[.rank]") {
  const auto local = test::join_local_world();
  if (!local) return;
  const auto& world = local->world;
  sums_like_one_process(world, {}, at::kDouble);
  sums_like_one_process(world, {.bucket_megabytes = kSmallBucket}, at::kDouble);
  sums_like_one_process(world, {.bucket_megabytes = kSmallBucket}, at::kFloat);
  agrees_with_reducer(*local);
  if (world.size() == 2) rounds_to_bf16(world);
  REQUIRE_THROWS_WITH(
      GradientSync({torch::ones({world.rank() == 1 ? 3 : 2}, torch::requires_grad())}, world),
      Contains("list of parameters differs: rank 1 has"));
  world.barrier();
}

TEST_CASE("Summed gradients are those of one process and of c10d's Reducer", "[distributed][cpu]") {
  REQUIRE(test::run_local_ranks("rank that sums its gradients with the others'", 2));
  REQUIRE(test::run_local_ranks("rank that sums its gradients with the others'", 4));
}
#endif
