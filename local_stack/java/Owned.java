import java.util.Arrays;

/**
 * Runs another main class for as long as the process that owns it lives: {@code Owned PID CLASS
 * ARGUMENTS...}, so that a test run that is killed leaves no server behind.
 */
public final class Owned {
  public static void main(String[] args) throws Exception {
    ProcessHandle.of(Long.parseLong(args[0]))
        .ifPresentOrElse(
            owner -> owner.onExit().thenRun(() -> System.exit(0)), () -> System.exit(0));
    Object rest = Arrays.copyOfRange(args, 2, args.length);
    Class.forName(args[1]).getMethod("main", String[].class).invoke(null, rest);
  }
}
