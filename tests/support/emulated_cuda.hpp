// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

// Runs CUDA kernels on the CPU, for tests of their logic without a GPU. Blocks run one after
// another, and the threads of a block are coroutines that switch at barriers and shuffles. Include
// this file before the kernels, and include the kernels in a namespace of their own, because nvcc
// gives its host stubs the same names. The emulation detects neither races between barriers nor bad
// addresses that happen to be readable.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <ucontext.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#undef __global__
#undef __device__
#undef __shared__
#undef __launch_bounds__
#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(...)

namespace emulated_cuda {

class Block {
 public:
  explicit Block(unsigned threads) : threads_(threads) {
    for (auto& thread : threads_) thread.stack.resize(64 << 10);
  }

  /// Runs `body` once on every thread; returns when all have ended.
  void run(const std::function<void()>& body) {
    body_ = &body;
    running() = this;
    for (auto& thread : threads_) {
      thread.state = kReady;
      getcontext(&thread.context);
      thread.context.uc_stack.ss_sp = thread.stack.data();
      thread.context.uc_stack.ss_size = thread.stack.size();
      thread.context.uc_link = &scheduler_;
      makecontext(&thread.context, &Block::enter, 0);
    }
    for (bool again = true; again;) {
      again = false;
      for (now_ = 0; now_ < threads_.size(); ++now_)
        if (threads_[now_].state == kReady) {
          swapcontext(&scheduler_, &threads_[now_].context);
          again = true;
        }
      for (std::size_t warp = 0; warp < threads_.size(); warp += 32)
        again = release(warp, warp + 32, kAtWarp) || again;
      again = release(0, threads_.size(), kAtBlock) || again;
    }
  }

  static Block*& running() {
    static Block* block = nullptr;
    return block;
  }
  [[nodiscard]] unsigned thread() const { return static_cast<unsigned>(now_); }
  void wait_for_block() { wait(kAtBlock); }

  template <class T>
  T shuffle_xor(T value, unsigned mask) {
    std::memcpy(&threads_[now_].slot, &value, sizeof(T));
    wait(kAtWarp);
    std::memcpy(&value, &threads_[now_ ^ mask].slot, sizeof(T));
    wait(kAtWarp);
    return value;
  }

 private:
  enum State { kReady, kAtWarp, kAtBlock, kEnded };
  struct Thread {
    ucontext_t context;
    std::vector<char> stack;
    State state = kReady;
    std::uint64_t slot = 0;
  };

  static void enter() {
    auto& block = *running();
    (*block.body_)();
    block.threads_[block.now_].state = kEnded;
  }
  void wait(State state) {
    auto& thread = threads_[now_];
    thread.state = state;
    swapcontext(&thread.context, &scheduler_);
  }
  /// Resumes threads that all wait for each other; threads that have ended do not count.
  bool release(std::size_t begin, std::size_t end, State state) {
    bool any = false;
    for (auto i = begin; i < end; ++i) {
      if (threads_[i].state != state && threads_[i].state != kEnded) return false;
      any = any || threads_[i].state == state;
    }
    for (auto i = begin; i < end; ++i)
      if (threads_[i].state == state) threads_[i].state = kReady;
    return any;
  }

  std::vector<Thread> threads_;
  const std::function<void()>* body_ = nullptr;
  ucontext_t scheduler_{};
  std::size_t now_ = 0;
};

struct Index {
  unsigned x = 0, y = 0, z = 0;
};
inline Index block_index, grid_size;
inline Index thread_index() {
  return {Block::running()->thread()};
}

/// kernel<<<grid, threads>>>(arguments)
template <class Arguments>
void launch(void (*kernel)(Arguments), Index grid, unsigned threads, const Arguments& arguments) {
  Block block(threads);
  grid_size = grid;
  for (unsigned y = 0; y < grid.y; ++y)
    for (unsigned x = 0; x < grid.x; ++x) {
      block_index = {x, y, 0};
      block.run([&] { kernel(arguments); });
    }
}

}  // namespace emulated_cuda

#define threadIdx (::emulated_cuda::thread_index())
#define blockIdx (::emulated_cuda::block_index)
#define gridDim (::emulated_cuda::grid_size)
#define __syncthreads() (::emulated_cuda::Block::running()->wait_for_block())
#define __shfl_xor_sync(all, value, mask) \
  (::emulated_cuda::Block::running()->shuffle_xor(value, mask))
#define __fdividef(a, b) ((a) / (b))
