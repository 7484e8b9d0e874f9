-- The requests of the file named by BENCH_REQUESTS, in turn: many clients and contacts, not one hot one.
-- A line is METHOD, path, Authorization, Content-Type and body, separated by tabs; an empty field is left out.
local requests, at = {}, tonumber(os.getenv("BENCH_START") or "0")
for line in io.lines(os.getenv("BENCH_REQUESTS")) do
  local method, path, authorization, kind, body = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t(.*)$")
  local headers = {}
  if authorization ~= "" then headers["Authorization"] = authorization end
  if kind ~= "" then headers["Content-Type"] = kind end
  requests[#requests + 1] = { method, path, headers, body ~= "" and body or nil }
end
function request()
  at = at % #requests + 1
  local each = requests[at]
  return wrk.format(each[1], each[2], each[3], each[4])
end
