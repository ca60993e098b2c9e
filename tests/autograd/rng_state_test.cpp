// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/autograd/rng_state.hpp"

#include "support/catch.hpp"

using namespace contrapunto;

namespace {

at::Tensor dropped(const at::Tensor& x) {
  return torch::dropout(x, 0.5, /*train=*/true);
}

}  // namespace

TEST_CASE("A restored generator repeats the dropout that followed the capture", "[core][cpu]") {
  torch::manual_seed(3);
  static_cast<void>(torch::randn({3}));  // leaves half of a pair of normals in the generator
  const auto x = torch::ones({64});
  const auto state = RngState::capture(at::kCPU);
  const auto first = dropped(x);
  const auto normals = torch::randn({5});
  REQUIRE_FALSE(dropped(x).equal(first));
  for (int time = 0; time < 2; ++time) {
    state.restore();
    CHECK(dropped(x).equal(first));
    CHECK(torch::randn({5}).equal(normals));
  }
}

TEST_CASE("After an RngScope the generator continues as if the scope had not existed",
          "[core][cpu]") {
  const auto x = torch::ones({64});
  torch::manual_seed(4);
  const auto first = dropped(x);
  const auto second = dropped(x);
  torch::manual_seed(4);
  const auto state = RngState::capture(at::kCPU);
  CHECK(dropped(x).equal(first));
  {
    const RngScope again(state);
    CHECK(dropped(x).equal(first));
    {
      const RngScope nested(state);
      CHECK(dropped(x).equal(first));
    }
    CHECK(dropped(x).equal(second));
  }
  CHECK(dropped(x).equal(second));
}

TEST_CASE("An RngScope restores the generator when an exception leaves the scope", "[core][cpu]") {
  torch::manual_seed(5);
  const auto state = RngState::capture(at::kCPU);
  const auto first = torch::rand({4});
  const auto second = torch::rand({4});
  state.restore();
  static_cast<void>(torch::rand({4}));
  try {
    const RngScope again(state);
    static_cast<void>(torch::rand({40}));
    TORCH_CHECK(false, "stop");
  } catch (const c10::Error&) {
  }
  CHECK(torch::rand({4}).equal(second));
}

TEST_CASE("An empty RngState changes nothing", "[core][cpu]") {
  torch::manual_seed(6);
  const auto first = torch::rand({4});
  torch::manual_seed(6);
  const RngState nothing;
  nothing.restore();
  { const RngScope scope(nothing); }
  CHECK(torch::rand({4}).equal(first));
}

TEST_CASE("The CUDA generator is repeated together with the CPU's", "[core][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device");
    return;
  }
  const auto x = torch::ones({1024}, torch::kCUDA);
  const auto state = RngState::capture(at::kCUDA);
  const auto on_device = dropped(x);
  const auto on_host = torch::rand({4});
  {
    const RngScope again(state);
    CHECK(dropped(x).equal(on_device));
    CHECK(torch::rand({4}).equal(on_host));
  }
  CHECK_FALSE(dropped(x).equal(on_device));
  state.restore();
  CHECK(dropped(x).equal(on_device));
}
