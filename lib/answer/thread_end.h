// What FLINT keeps for a thread.
#pragma once

namespace temper {

// To be called on every thread that reads or compares answers, as often as one likes: FLINT's caches of the
// thread (a fifth of a megabyte and more) go when it ends, which they do not by themselves.
void free_caches_at_thread_end();

}  // namespace temper
