// SPDX-License-Identifier: Apache-2.0
// A program of a virtual machine: it overflows stacks, throws, and uses the C heap through direct
// buffers and zlib, on several threads. Waits for SIGUSR1, works, waits for SIGTERM, and then says
// what it counted.
import java.nio.ByteBuffer;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import java.util.zip.Deflater;
import sun.misc.Signal;

public final class DeepStacks {
  private static final AtomicLong overflows = new AtomicLong();
  private static final AtomicLong caught = new AtomicLong();
  private static final AtomicLong bytes = new AtomicLong();

  private static int dig(int depth) {
    return depth < 0 ? 0 : dig(depth + 1) + 1;
  }

  private static void overflow() {
    try {
      dig(0);
    } catch (StackOverflowError expected) {
      overflows.incrementAndGet();
    }
  }

  private static void fail(int round) {
    try {
      throw new IllegalStateException("round " + round);
    } catch (IllegalStateException expected) {
      caught.incrementAndGet();
    }
  }

  private static void useTheHeap(int round) {
    ByteBuffer buffer = ByteBuffer.allocateDirect(1024 + round);
    while (buffer.hasRemaining()) buffer.put((byte) round);
    bytes.addAndGet(buffer.capacity());
    Deflater deflater = new Deflater();
    deflater.setInput(new byte[4096]);
    deflater.finish();
    bytes.addAndGet(deflater.deflate(new byte[8192]));
    deflater.end();
  }

  private static void work(int rounds) {
    for (int round = 0; round < rounds; round++) {
      if (round % 20 == 0) overflow();
      fail(round);
      useTheHeap(round);
    }
  }

  private static CountDownLatch on(String name) {
    CountDownLatch came = new CountDownLatch(1);
    Signal.handle(new Signal(name), signal -> came.countDown());
    return came;
  }

  public static void main(String[] words) throws InterruptedException {
    int rounds = Integer.parseInt(words[words.length - 1]);
    CountDownLatch begin = on("USR1");
    CountDownLatch end = on("TERM");
    System.out.println("ready " + ProcessHandle.current().pid());
    begin.await();
    Thread[] threads = new Thread[4];
    for (int i = 0; i < threads.length; i++) {
      threads[i] = new Thread(() -> work(rounds));
      threads[i].start();
    }
    for (Thread thread : threads) thread.join();
    System.out.println("done " + ProcessHandle.current().pid());
    end.await();
    System.out.println("overflows " + overflows + " caught " + caught + " bytes " + bytes);
  }
}
