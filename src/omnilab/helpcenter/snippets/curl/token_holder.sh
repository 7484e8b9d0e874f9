# OmniLab from bash with curl: one token for all scripts of a user, kept in a file until 80 % of its life, renewed once
# after a 401. Neither secret nor token is ever an argument of a program, where every user of the machine can read it.
# curl itself obeys Retry-After on 429 and 503, for 30 seconds at most.
OMNILAB_TOKEN_FILE=${OMNILAB_TOKEN_FILE:-${XDG_RUNTIME_DIR:-$HOME}/omnilab-token-$OMNILAB_CLIENT_ID}
OMNILAB_CURL=(curl --silent --show-error --connect-timeout 5 --max-time 40 --retry 2 --retry-max-time 30)

list_bookings() {  # list_bookings EXTERNAL_ID
  omnilab_call --get --data-urlencode "external_id=$1" "$OMNILAB_BASE_URL/v1/interactions:fetchContactBookings"
}

cancel_booking() {  # cancel_booking EXTERNAL_ID BOOKING_ID: the key makes it safe to send the call again
  omnilab_call --json "{\"external_id\":\"$1\",\"booking_id\":\"$2\"}" \
    --header "Idempotency-Key: $(cat /proc/sys/kernel/random/uuid)" \
    "$OMNILAB_BASE_URL/v1/interactions:cancelContactBooking"
}

omnilab_call() {  # omnilab_call CURL'S WORDS: prints the answer's body; fails on a refusal
  local token answer
  token=$(omnilab_token) || return
  answer=$(omnilab_send "$token" "$@") || return
  if [ "${answer##*$'\n'}" = 401 ]; then  # one retry with a new token, never two
    token=$(omnilab_token "$token") || return
    answer=$(omnilab_send "$token" "$@") || return
  fi
  printf '%s\n' "${answer%$'\n'*}"
  [ "${answer##*$'\n'}" -lt 300 ]
}

omnilab_send() (  # omnilab_send TOKEN CURL'S WORDS: prints the body and, on a last line, the status
  body=$(mktemp) || exit
  trap 'rm -f "$body"' EXIT  # a file, because on standard output every attempt's body would follow the last one's
  status=$("${OMNILAB_CURL[@]}" --header @<(printf 'Authorization: Bearer %s' "$1") \
    --output "$body" --write-out '%{http_code}' "${@:2}") || exit
  printf '%s\n%s' "$(cat "$body")" "$status"
)

omnilab_token() (  # omnilab_token [REFUSED]: in a subshell, so that the lock ends with it
  umask 077
  exec 9>"$OMNILAB_TOKEN_FILE.lock"
  flock --wait 60 9 || exit  # the first one asks, the others find what it brought
  { read -r renew_at; read -r token; } 2>/dev/null <"$OMNILAB_TOKEN_FILE"
  if [ -z "$token" ] || [ "$token" = "$1" ] || [ "$(date +%s)" -ge "$renew_at" ]; then
    now=$(date +%s)
    answer=$(printf '{"client_id":"%s","client_secret":"%s","audience":"%s","grant_type":"client_credentials"}' \
      "$OMNILAB_CLIENT_ID" "$OMNILAB_CLIENT_SECRET" "$OMNILAB_AUDIENCE" |
      "${OMNILAB_CURL[@]}" --fail-with-body --json @- "$OMNILAB_BASE_URL/v1/oauth:token") ||
      { echo "$answer" >&2; exit 1; }
    token=$(sed 's/.*"access_token":"\([^"]*\)".*/\1/' <<<"$answer")
    life=$(sed 's/.*"expires_in":\([0-9]*\).*/\1/' <<<"$answer")
    printf '%s\n%s\n' $((now + life * 8 / 10)) "$token" >"$OMNILAB_TOKEN_FILE"
  fi
  printf '%s' "$token"
)
