import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.Collections;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Obeys one command a line, like drive.py. */
public final class Drive {
    private static final OmniLab OMNILAB = new OmniLab();

    public static void main(String[] arguments) throws Exception {
        var input = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = input.readLine()) != null; ) {
            String[] words = line.split(" ");
            try {
                System.out.println(switch (words[0]) {
                    case "list" -> OMNILAB.listBookings(words[1]);
                    case "cancel" -> OMNILAB.cancelBooking(words[1], words[2]);
                    default -> String.valueOf(many(Integer.parseInt(words[1]), words[2]));
                });
            } catch (IOException error) {
                System.out.println("error " + error.getMessage());
            }
        }
    }

    private static int many(int count, String contact) throws Exception {
        var pool = Executors.newFixedThreadPool(count);
        Callable<String> call = () -> OMNILAB.listBookings(contact);
        int done = 0;
        for (Future<String> each : pool.invokeAll(Collections.nCopies(count, call))) {
            done += each.get().isEmpty() ? 0 : 1;
        }
        pool.shutdown();
        return done;
    }
}
