// A stand-in for NVIDIA's header; see cuda_runtime_api.h. Grids have ACUTANCE_MOST_BLOCKS blocks along y and z at
// most. Blocks run one after the other, and so do the threads of a block, each up to the next barrier: odd blocks from
// the last thread to the first, so that a barrier that is missing shows.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <memory>
#include <utility>

#include "cuda_runtime_api.h"

#define __global__
#define __grid_constant__
#define __shared__ static
#define __launch_bounds__(...)

inline dim3 blockIdx, threadIdx, gridDim, blockDim;

// The threads of one block after another. A thread that meets no barrier runs on the stack of the one before it.
class EmulatedBlock {
 public:
  explicit EmulatedBlock(std::function<void()> kernel) : kernel_(std::move(kernel)) {}

  // False when some threads ended while others waited at a barrier.
  bool run(bool backward) {
    backward_ = backward, begun_ = 0;
    std::vector<Stack*> waiting;
    while (begun_ < count()) {
      if (idle_.empty()) idle_.push_back(make());
      Stack* next = idle_.back();
      idle_.pop_back();
      resume(next, waiting);
    }
    while (!waiting.empty()) {
      if (waiting.size() != count()) return false;
      std::vector<Stack*> now;
      now.swap(waiting);
      for (Stack* each : now) resume(each, waiting);
    }
    return true;
  }

  void wait_for_all() {
    Stack* mine = current_;
    mine->thread = threadIdx, mine->waits = true;
    jump(*mine, main_);
    threadIdx = mine->thread;
  }

  static inline EmulatedBlock* running = nullptr;

 private:
  struct Context {
    ucontext_t context;
    jmp_buf later;
    bool begun = false;
  };
  struct Stack : Context {
    std::vector<char> memory = std::vector<char>(64 << 10);
    dim3 thread;
    bool waits = false;
  };

  // Jumps save what swapcontext() spends on system calls, but AddressSanitizer knows only that.
  static void jump(Context& from, Context& to) {
#ifdef __SANITIZE_ADDRESS__
    swapcontext(&from.context, &to.context);
#else
    if (_setjmp(from.later)) return;
    from.begun = true;
    if (to.begun) _longjmp(to.later, 1);
    setcontext(&to.context);
#endif
  }

  static unsigned count() { return blockDim.x * blockDim.y * blockDim.z; }

  Stack* make() {
    stacks_.push_back(std::make_unique<Stack>());
    Stack* made = stacks_.back().get();
    getcontext(&made->context);
    made->context.uc_stack.ss_sp = made->memory.data();
    made->context.uc_stack.ss_size = made->memory.size();
    made->context.uc_link = nullptr;
    makecontext(&made->context, [] { running->work(); }, 0);
    return made;
  }

  // Threads of this block, one after another, and when all have begun, of the next block in which this stack is taken.
  void work() {
    for (Stack* mine = current_;;) {
      for (; begun_ < count();) {
        const unsigned at = backward_ ? count() - 1 - begun_ : begun_;
        ++begun_;
        threadIdx = dim3(at % blockDim.x, at / blockDim.x % blockDim.y, at / blockDim.x / blockDim.y);
        kernel_();
      }
      mine->waits = false;
      jump(*mine, main_);
    }
  }

  void resume(Stack* stack, std::vector<Stack*>& waiting) {
    current_ = stack;
    jump(main_, *stack);
    (stack->waits ? waiting : idle_).push_back(stack);
  }

  const std::function<void()> kernel_;
  std::vector<std::unique_ptr<Stack>> stacks_;
  std::vector<Stack*> idle_;
  Stack* current_ = nullptr;
  Context main_;
  unsigned begun_ = 0;
  bool backward_ = false;
};

inline void __syncthreads() {
  EmulatedBlock::running->wait_for_all();
}

inline cudaError_t emulated_grid(dim3 grid, dim3 block, std::function<void()> kernel) {
  EmulatedBlock threads(std::move(kernel));
  EmulatedBlock::running = &threads;
  gridDim = grid, blockDim = block;
  unsigned number = 0;
  for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
      for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x)
        if (!threads.run(number++ % 2)) return cudaErrorLaunchFailure;
  return cudaSuccess;
}

template <class... Wanted, class... Given>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* c, void (*kernel)(Wanted...), Given... arguments) {
  const dim3 grid = c->gridDim, block = c->blockDim;
  if (!grid.x || !grid.y || !grid.z || grid.x > 0x7fffffffu || grid.y > ACUTANCE_MOST_BLOCKS || grid.z > ACUTANCE_MOST_BLOCKS ||
      block.x * block.y * block.z > 1024)
    return cudaErrorInvalidConfiguration;
  return emulated_enqueue(c->stream, [=] { return emulated_grid(grid, block, [=] { kernel(arguments...); }); });
}
