#include "base/version.h"

namespace temper {

const char* version() {
  return TEMPER_VERSION;
}

}  // namespace temper
