#include "threads.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace acutance {

int thread_count(int asked) {
  if (asked > 0) return asked;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
  return std::max(1u, std::thread::hardware_concurrency());
}

void parallel(int parts, int threads, const std::function<void(int)>& work) {
  std::atomic<int> next{0};
  std::exception_ptr failed;
  std::mutex lock;
  const auto loop = [&] {
    try {
      for (int i = next++; i < parts; i = next++) work(i);
    } catch (...) {
      const std::lock_guard<std::mutex> held(lock);
      if (!failed) failed = std::current_exception();
      next = parts;
    }
  };
  const int more = std::min(threads, parts) - 1;
  std::vector<std::thread> others;
  others.reserve(std::max(more, 0));
  try {
    for (int k = 0; k < more; ++k) others.emplace_back(loop);
  } catch (const std::system_error&) {
    // No further thread can be had: those that run share the work.
  }
  loop();
  for (auto& t : others) t.join();
  if (failed) std::rethrow_exception(failed);
}

}  // namespace acutance
