// What is answered to a request that cannot be met, in OpenAI's form.
#pragma once

#include <stdexcept>
#include <string>

#include "base/json_fwd.h"
#include "serve/service.h"

namespace temper {

struct ApiError : std::runtime_error {
  int status;               // of HTTP
  std::string type;         // "invalid_request_error" ...
  std::string param, code;  // "": null
  ApiError(int status, std::string type, const std::string& message, std::string param = "",
           std::string code = "");
};

// 400. param: the key that is wrong, such as "messages[0].role"; the message begins with it.
ApiError bad_request(const std::string& param, const std::string& why, const std::string& code = "");
ApiError not_found(const std::string& message, const std::string& code = "");  // 404
ApiError unauthorised(const std::string& message);                             // 401
ApiError forbidden(const std::string& message);                                // 403
ApiError too_large(const std::string& message);                                // 413
ApiError unavailable(const std::string& message, const std::string& code);     // 503
ApiError of_refusal(const ServiceRefusal& refusal);

// The exception under way as what is answered; anything that is none of ours is a 500 that does not say what
// it was to the client, but to the log.
ApiError current_error();

Json to_json(const ApiError& error);  // {"error": {"message", "type", "param", "code"}}

}  // namespace temper
