# Obeys one command a line, like drive.py; the calls of `many` are processes of their own. What curl says of attempts that
# it repeats itself is no error.
. ./token_holder.sh
while read -r verb first second; do
  case $verb in
    list) answer=$(list_bookings "$first" 2>told) || answer="error $answer $(cat told)" ;;
    cancel) answer=$(cancel_booking "$first" "$second" 2>told) || answer="error $answer $(cat told)" ;;
    many) answer=$(for ((i = 0; i < first; i++)); do { list_bookings "$second" >/dev/null && echo .; } & done | wc -l) ;;
  esac
  echo "${answer//$'\n'/ }"
done
