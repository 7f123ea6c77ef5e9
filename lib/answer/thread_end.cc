#include "answer/thread_end.h"

#include <flint/flint.h>

namespace temper {

void free_caches_at_thread_end() {
  struct AtEnd {
    ~AtEnd() { flint_cleanup(); }
  };
  static thread_local const AtEnd at_end;
}

}  // namespace temper
