namespace ElmNative.Experience.Tests.Answers;

/// <summary>Hand-written pairs of answers: '=' before those that mean the same, '!' before those that do not, ' | ' between the two.</summary>
internal static class AnswerPairs
{
    public static IEnumerable<(bool Same, string Left, string Right)> All()
    {
        foreach (string line in Text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            int bar = line.LastIndexOf(" | ", StringComparison.Ordinal);
            yield return (line[0] == '=', line[2..bar], line[(bar + 3)..]);
        }
    }

    private const string Text = """
        = 7,425,000 | 7425000
        = 1{,}234{,}567 | 1234567
        = 12,\!345 | 12345
        = 12,\! 345 | 12345
        ! 12,34 | 1234
        = -0.5 | -\frac{1}{2}
        = \frac{-1}{2} | -\dfrac12
        = \frac{1}{-2} | -0.5
        = 1e3 | 1000
        = 3\times10^{8} | 300000000
        = 3 \cdot 10^8 | 300,000,000
        = 3 × 10^8 | 3*10**8
        = 6.02e23 | 6.02 \times 10^{23}
        ! 6.02e23 | 6.02 \times 10^{22}
        = 50\% | 0.5
        = 50\% | \frac12
        = 50 percent | 50\%
        = 12.5\% | 12.5
        ! 50 | 0.5
        ! 5\% | 0.5
        = \$1,000 | 1000 dollars
        = \$5.50 | 5.5
        = 5 \text{ dollars} | \$5
        = 36^\circ | 36 degrees
        = 36^{\circ} | 36
        = 3\text{ hours} | 3 hours
        ! 3\text{ hours} | 3 minutes
        ! 5\text{ cm} | 5\text{ m}
        = 5 \text{ cm} | 5\,\text{cm}
        = 5\,\mathrm{cm}^2 | 5
        = 25\text{ m/s} | 25
        = 9.8 m/s^2 | 9.8
        = 60 \text{ miles/hour} | 60 mph
        = 100\text{ square units} | 100
        = 12\pi \text{ cm}^3 | 12\pi
        = 2\frac{1}{3} | \frac{7}{3}
        = -2\frac{1}{3} | -\frac{7}{3}
        = 1 1/2 | 1.5
        ! 1\frac12 | 0.5
        = \sqrt{50} | 5\sqrt{2}
        = \frac{\sqrt{2}}{2} | \frac{1}{\sqrt{2}}
        = \sqrt{3+2\sqrt{2}} | 1+\sqrt{2}
        ! \sqrt{3+2\sqrt{2}} | 1+\sqrt{3}
        = \sqrt[3]{27} | 3
        = \sqrt[3]{-8} | -2
        = \sqrt[4]{16} | 2
        = 8^{1/3} | 2
        = 2^{-3} | \frac18
        = 4^{3/2} | 8
        = \frac{\sqrt{6}+\sqrt{2}}{4} | \cos 15^\circ
        = \frac{\sqrt{6}+\sqrt{2}}{4} | \cos \frac{\pi}{12}
        = \tan 45^\circ | 1
        = \sin^2 30^\circ | \frac14
        = \arctan 1 | \frac{\pi}{4}
        = \tan^{-1}(1) | \pi/4
        = \log_2 8 | 3
        = \ln e^2 | 2
        = \log_{10} 1000 | 3
        = e^{i\pi} | -1
        = i^2 | -1
        = (1+i)^2 | 2i
        = \frac{1+i}{1-i} | i
        = |3+4i| | 5
        = \cos\frac{2\pi}{3} + i\sin\frac{2\pi}{3} | -\frac12+\frac{\sqrt3}{2}i
        = e^{2\pi i/3} | \frac{-1+i\sqrt{3}}{2}
        ! e^{2\pi i/3} | e^{4\pi i/3}
        ! 3+4i | 3-4i
        = \pi | 3.14159265
        ! \pi | 3.14
        ! \pi | \frac{22}{7}
        = \frac{22}{7} | 3.142857142857
        = 0.333333 | \frac13
        ! 0.33 | \frac13
        = 0.\overline{3} | \frac13
        = 0.1\overline{6} | \frac16
        = 2.\overline{36} | \frac{26}{11}
        ! 0.\overline{3} | 0.3
        = 10! | 3628800
        = \binom{6}{2} | 15
        = \dbinom{6}{2} | 15
        = {6 \choose 2} | 15
        = x^2-1 | (x-1)(x+1)
        ! x^2-1 | (x-1)^2
        = (x-1)(x+1) | x^{2} - 1
        = \frac{x^2-1}{x-1} | x+1
        = 2x+3 | 3+2x
        = 2(x+y) | 2x+2y
        = \frac{a}{b}+\frac{c}{d} | \frac{ad+bc}{bd}
        = 3x^2y | 3yx^2
        ! 3x^2y | 3xy^2
        ! x | X
        ! a | b
        = x^{-1} | \frac{1}{x}
        = \sqrt{x^2+2x+1} | |x+1|
        ! \sqrt{x^2} | x
        = \sqrt{x^3} | x\sqrt{x}
        = 6\sqrt{2}x\sqrt{x} | \sqrt{72x^3}
        ! |x| | x
        = \sin(2x) | 2\sin x\cos x
        = \sin 2x | 2 \sin x \cos x
        = 1-\sin^2 x | \cos^2 x
        = \ln(ab) | \ln a + \ln b
        = \frac{1}{2}\ln 4 | \ln 2
        = \log_3 x | \frac{\ln x}{\ln 3}
        = n(n+1)/2 | \frac{n(n+1)}{2}
        = \frac{n(n+1)}{2} | \binom{n+1}{2}
        = 2^{n+1} | 2\cdot 2^n
        = (-1)^{n+1} | -(-1)^n
        ! 2^n | n^2
        = e^{2x} | (e^x)^2
        = (n+1)! | (n+1)!
        = x_1+x_2 | x_2 + x_1
        ! x_1 | x_2
        = x=5 | 5
        = 5=x | 5
        = x = \frac{1}{2} | 0.5
        = f(x)=x^2 | x^2
        = f(2) = 7 | 7
        = P(A) = \frac13 | \frac13
        = AB = 5 | 5
        = \angle ABC = 60^\circ | 60
        = \text{Area} = 12 | 12
        = y=2x+1 | 2x+1
        = y=2x+1 | 2x-y+1=0
        = y - 1 = 2x | y=2x+1
        = x+y=5 | 2x+2y=10
        = x + y = 5 | y = 5 - x
        ! x+y=5 | 5
        ! x+y=5 | x-y=5
        ! x^2+y^2=1 | x^2+y^2=2
        = (x-1)^2+(y+2)^2=9 | x^2+y^2-2x+4y-4=0
        = x = 2 \text{ or } x = 3 | 2, 3
        = x=2,3 | x = 3 \text{ or } x=2
        = x = \pm 2 | 2,-2
        = \pm 2 | -2, 2
        ! \pm 2 | 2
        = x = 1 \pm \sqrt{3} | 1-\sqrt3, 1+\sqrt3
        = \pm 1, \pm 3 | -3,-1,1,3
        = \pm\frac{\sqrt2}{2} \pm \frac{\sqrt2}{2}i | \frac{\sqrt2}{2}+\frac{\sqrt2}{2}i, \frac{\sqrt2}{2}-\frac{\sqrt2}{2}i, -\frac{\sqrt2}{2}+\frac{\sqrt2}{2}i, -\frac{\sqrt2}{2}-\frac{\sqrt2}{2}i
        = (1,2) | \left(1, 2\right)
        ! (1,2) | (2,1)
        ! (1,2) | 1,2
        ! (1,2) | \{1,2\}
        ! (1,2) | [1,2]
        = (x,y)=(1,2) | (1,2)
        = (1,2),(3,4) | (3,4),(1,2)
        ! (1,2),(3,4) | (2,1),(3,4)
        = (\frac12, -3) | (0.5,-3)
        = \{1,2,3\} | 3,2,1
        = \{1,2,3\} | \left\{ 3, 1, 2 \right\}
        ! \{1,2,3\} | \{1,2\}
        = \{ 1, 1, 2\} | \{1,2\}
        = \emptyset | \{\}
        = \varnothing | \emptyset
        = [0,1] | 0 \le x \le 1
        = (0,1] | 0 < x \leq 1
        = (-\infty,3) | x<3
        = [3,\infty) | x \ge 3
        = [3,\infty) | \{x : x \ge 3\}
        = [3,\infty) | \{x \mid x \ge 3\}
        = [3,\infty) | \{x \in \mathbb{R} \mid x \ge 3\}
        = (-\infty,3) | 3 > x
        = (-\infty, \infty) | \mathbb{R}
        = \mathbb{R} \setminus \{2\} | (-\infty,2)\cup(2,\infty)
        = x \ne 2 | (-\infty,2)\cup(2,\infty)
        = x\neq 2 | x \ne 2
        ! x \ne 2 | x \ne 3
        ! x \ne 2 | 2
        = (-\infty,-1) \cup (1,\infty) | x<-1 \text{ or } x>1
        = [1,2]\cup[2,3] | [1,3]
        ! [1,2)\cup(2,3] | [1,3]
        = [1,2)\cup\{2\} | [1,2]
        ! x>5 | y>5
        = 2x > 10 | x > 5
        = x > 5 | 5 < x
        ! x>5 | x \ge 5
        = x+y>2 | y>2-x
        = x + y > 2 | 2x+2y>4
        ! x+y>2 | x+y<2
        = -2 < x < 3 | x \in (-2,3)
        = -2<x<3 | 3>x>-2
        = \begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{bmatrix}1&2\\3&4\end{bmatrix}
        ! \begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&3\\2&4\end{pmatrix}
        ! \begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}1&2\end{pmatrix}
        = \begin{pmatrix}0.5\\2\end{pmatrix} | \begin{pmatrix}\frac12\\2\end{pmatrix}
        = \frac15\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}1/5\\2/5\end{pmatrix}
        = [[1,2],[3,4]] | \begin{pmatrix}1&2\\3&4\end{pmatrix}
        = \left[\begin{array}{cc}1&2\\3&4\end{array}\right] | \begin{pmatrix}1&2\\3&4\end{pmatrix}
        = \begin{pmatrix} 1 & 2 \\ 3 & 4 \\ \end{pmatrix} | \begin{pmatrix}1&2\\3&4\end{pmatrix}
        = 101_2 | 101_{2}
        ! 101_2 | 101_3
        ! 101_2 | 5
        = 1\text{A}3_{16} | 1A3_{16}
        = 2:3 | 4:6
        = 2:3 | \frac23
        ! 2:3 | 3:2
        ! 10:30 | 10:03
        = 10:30 \text{ a.m.} | 10:30 am
        ! 10:30 \text{ a.m.} | 10:30 p.m.
        = A | \text{A}
        = (A) | A
        = \textbf{(A)} | A
        = A. | A
        = \text{(A)} | (A)
        = \textbf{(C) } 12 | C
        = \textbf{(C) } 12 | 12
        = (B) 5 | B
        = B. 5 | B
        ! (A) | B
        ! \textbf{(C) } 12 | 13
        ! \textbf{(C) } 12 | B
        = \text{yes} | Yes
        = \text{No} | no
        = \text{east} | East
        = \text{blue} | Blue.
        = Monday | \text{Monday}
        ! Monday | Tuesday
        = \text{not possible} | Not possible
        = \text{an ellipse} | ellipse
        = \text{the circle} | circle
        ! \text{odd} | even
        = five | 5
        = twenty-one | 21
        = two hundred | 200
        ! five | 6
        = \text{red and blue} | \text{blue and red}
        = 12 \text{ and } 13 | 13, 12
        = 42. | 42
        = "42" | 42
        = **42** | 42
        = $42$ | 42
        = \(42\) | 42
        = \[42\] | 42
        = $$42$$ | 42
        = \boxed{42} | 42
        = \text{Answer: } 42 | 42
        = +7 | 7
        = −3 | -3
        = ½ | 0.5
        = 2½ | 2.5
        = x² | x^2
        = √2 | \sqrt{2}
        = 2√3 | \sqrt{12}
        = π/2 | \frac{\pi}{2}
        = ∞ | \infty
        ! \infty | -\infty
        = +\infty | \infty
        ! \infty | 10^{100}
        = 10^{100} | 1e100
        ! 10^{100} | 10^{100}+1
        ! 9^{9^9} | 9^{9^9}+1
        = 2^{100} | 4^{50}
        ! 123456789012345678901234567890 | 123456789012345678901234567891
        ! e^{\pi\sqrt{163}} | 262537412640768744
        = 1.0 | 1
        = 0 | -0
        = 0 | 0.0
        = \frac{0}{5} | 0
        ! \frac{5}{0} | \frac{3}{0}
        ! \frac{5}{0} | \infty
        ! x | -
        ! 5 | \text{none}
        = 3\sqrt{2}i | 3i\sqrt{2}
        = -3i | 0-3i
        = \frac{3}{2}+\frac{1}{2}i | \frac{3+i}{2}
        = x \in [1,2] | [1,2]
        = 5\text{ or }6 | 6,5
        = 1, 2, \text{ and } 3 | 1,2,3
        = 1;2;3 | 1,2,3
        = \lfloor 3.7 \rfloor | 3
        = \lceil x \rceil | \left\lceil x \right\rceil
        = \max(3,5) | 5
        = \gcd(12,18) | 6
        = \text{lcm}(4,6) | 12
        ! 2\sqrt{3} | \sqrt{3}
        ! x+1 | x-1
        ! -1 | 1
        = \frac{1}{2}x + 3 | \frac{x}{2}+3
        = 0.5x+3 | \frac{x+6}{2}
        = 2x^{2} | 2x^2
        = \dfrac{3\pi}{4} | \frac{3}{4}\pi
        = 3\pi/4 | 0.75\pi
        = \frac{3}{4} \cdot \pi | \frac{3 \pi}{4}
        = 4\pi + 2 | 2(1+2\pi)
        = 120^\circ | 120
        ! \frac{2\pi}{3} | 120
        = 2n\pi | 2\pi n
        = k\pi, k\in\mathbb{Z} | k \pi, k \in \mathbb{Z}
        = \frac{\pi}{4} + k\pi | k\pi + \frac{\pi}{4}
        = \sqrt{2}+\sqrt{3}-\sqrt{5} | -\sqrt5+\sqrt3+\sqrt2
        = \sqrt{2}+\sqrt{3}-\sqrt{5+2\sqrt{6}} | 0
        ! \sqrt{2}+\sqrt{3} | \pi
        ! \sqrt{2}+\sqrt{3}-\pi | 0
        = 1 - \frac{1}{e} | \frac{e-1}{e}
        = p^2-pq | p(p-q)
        = h(a+b)/2 | \frac{ha+hb}{2}
        = f(x) | f(x)
        ! f(x) | f(y)
        ! f(x) | g(x)
        = 1{,}000 | 1000
        = 100,000 | 100000
        = 120,240 | \{120, 240\}
        = 120,240 | 120240
        ! 120,240 | 360
        = $2.50 | 2.5
        = 2.50 USD | 2.5
        = 1 000 000 | 1000000
        = 3 \text{cm} \times 4 \text{cm} | 3\text{cm}\times 4\text{cm}
        = \frac{3}{4} \text{ of the pie} | 3/4
        = 0.75 \text{ (or 75\%)} | 0.75 \text{ (or 75\%)}
        = 2x - 3 = 0 | 4x-6=0
        = x\equiv 3 \pmod{7} | x \equiv 3\pmod 7
        = \frac{a+b}{2} | \frac12(a+b)
        = \left(\frac12\right)^{10} | \frac{1}{1024}
        = (\sqrt{2})^2 | 2
        = -\left(-5\right) | 5
        = --5 | 5
        = \frac{\frac12}{\frac34} | \frac23
        = a/b/c | \frac{a}{bc}
        = \sqrt{x}\sqrt{y} | \sqrt{xy}
        = \sum_{k=1}^{n} k | \sum_{k=1}^n k
        = m+n=540 | 540
        = p+q = 12 | 12
        = a+b+c=20 | 20
        = x=1, y=2 | (x,y)=(1,2)
        = x=1, y=2 | y=2, x=1
        ! x=1, y=2 | x=2, y=1
        = (-1, 4) \cup (5, 6] | (5,6]\cup(-1,4)
        = \text{(-1,3)} | (-1,3)
        = ]1,2[ | (1,2)
        = \langle 1,2,3 \rangle | (1,2,3)
        = \overline{AB} = 5 | 5
        = 7 \text{ cm} | 7cm
        = 5m | 5 \text{ meters}
        = 10 s | 10 seconds
        ! 5m | 5s
        = 3g | 3 grams
        ! 2m | 2n
        = 10^{-3} | 0.001
        = 5 \times 5 | 25
        = 3(4) | 12
        = (3)(4) | 12
        = 2*3 | 6
        = 17\,000 | 17000
        = 0.5 | .5
        = 00.5 | 0.5
        = 1/2/1 | 1/2
        = 5 \div 2 | 2.5
        = 1.23\times10^{-2} | 0.0123
        = \frac{10}{4}\% | 2.5\%
        = 3\frac{1}{7} | \frac{22}{7}
        = x^{10} | (x^5)^2
        = 2^10 | 1024
        = \left| -3 \right| | 3
        = |-3| | 3
        = \frac{1}{\sqrt{2}+1} | \sqrt{2}-1
        = \sqrt 2 | \sqrt{2}
        = \sqrt2/2 | \frac{\sqrt{2}}{2}
        = x \mapsto x+1 | x \mapsto x + 1
        = 1 < x < 2 | (1,2)
        = \text{Thursday} | thursday
        = \text{True} | true
        = \frac{\pi}{3}, \frac{5\pi}{3} | \frac{5\pi}{3},\frac{\pi}{3}
        = \left(3, \frac{3\pi}{2}\right) | (3,1.5\pi)
        = [a,b) | a \le x < b
        ! [a,b) | a < x \le b
        = A \cap B | B \cap A
        = A \cup B | B\cup A
        ! A \cup B | A \cap B
        = 60 km/h | 60
        = 60\text{ km/h} | 60 km per hour
        = 5\text{ m} | 5
        ! 1+e^{-1000} | 1
        ! 10^{200}+\pi | 10^{200}
        = 3:2:1 | 6:4:2
        = \frac{1}{3}\text{ meters} | 1/3
        = $|AB| = 1/3$ | 1/3
        = \{1,2\}\setminus\{2\} | \{1\}
        = 25^{\circ}C | 25
        = \{(1,2)\} | (1,2)
        = \left[\begin{array}{ll} 1 & 2 \\ 3 & 4 \end{array}\right] | \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}
        = -\infty < x < 5 | (-\infty,5)
        = x \in \{1,2\} | 1,2
        = x \in \mathbb{R} | (-\infty,\infty)
        = x \in \mathbb{R} | \mathbb{R}
        = 1\cdot 10^3 | 1000
        = 5,\quad 6 | 5,6
        = 6\ \text{or}\ 7 | 6,7
        = 45\% | \frac{9}{20}
        ! 45\% | 4.5
        = \frac{3}{5} | 60\%
        = 2 \sqrt{3} \text{ units} | 2\sqrt3
        = x = 3, y = 4 | (3,4)
        = n \geq 2 | [2,\infty)
        = 2 \le n | n \ge 2
        ! n > 2 | n \ge 2
        = \text{Tom and Jerry} | Tom and Jerry
        = \text{I, II and III} | I, II, III
        ! \text{I and II} | \text{I and III}
        = \text{I and II} | I and II
        = 2 \text{ and } 3 | \{2,3\}
        = -\frac{3}{4}x + \frac{1}{2} | \frac{2-3x}{4}
        = \frac{x}{2} | 0.5x
        = \left\{ -1, 0, 1\right\} | \{1, 0, -1\}
        = (2,3), (4,5) | \{(2,3),(4,5)\}
        = (0,0),(1,1) | (0,0)\text{ and }(1,1)
        = 1.414213562 | \sqrt{2}
        ! 1.41421 | \sqrt{2}
        = 0.142857142857 | \frac17
        = 33.3333333\% | \frac13
        = 1:30 | 1:30
        = \text{1:30 pm} | 1:30 p.m.
        = \$5 | \text{5 dollars}
        = 0.05\text{ dollars} | \$0.05
        = 12\frac12\% | 12.5\%
        = \text{\$}15 | 15
        = 3.0 \times 10^{-4} | 0.0003
        = x<-2\text{ or }x>2 | (-\infty,-2)\cup(2,\infty)
        = y = \frac{1}{2}x - 4 | x - 2y = 8
        = y=\frac{x}{2}-4 | x-2y-8=0
        ! y=\frac{x}{2}-4 | x-2y+8=0
        = x^2 + y^2 = 25 | y^2 + x^2 - 25 = 0
        = 2^{3x} | 8^x
        = a^2-b^2 | (a-b)(a+b)
        = \sec x | \frac{1}{\cos x}
        = \csc^2 x - 1 | \cot^2 x
        = \log_4 8 | \frac32
        = \log 1000 | 3
        ! \ln 10 | 1
        = \sqrt{-4} | 2i
        = 3i^2 | -3
        = (2+3i)(2-3i) | 13
        = \frac{5}{2+i} | 2-i
        = \cos 60^\circ | 0.5
        = 5e | e \cdot 5
        = 10 \text{ inches} | 10 \text{ in.}
        = 3\text{ ft } | 3 feet
        = 7\,\text{hours} | 7
        = 1\,234 | 1234
        = 8\text{ sq. units} | 8
        = \text{ }5 | 5
        = 5\% \text{ increase} | 5\%
        = 2 \times 3 \times 5 | 30
        = 2^3 \cdot 5 | 40
        = \frac{13!}{4!} | 259459200
        = _{5}C_{2} | _5C_2
        = 1\frac{1}{2} \text{ hours} | 1.5 hours
        ! 100,000 | 100,00
        ! 10\% | 10\1
        = 1,1,2 | 1,2,2
        ! x(x+1) = 12 | 12
        = p(x) = 12 | 12
        = P(A\cup B) = \frac12 | \frac12
        = V(3) = 36\pi | 36\pi
        = The largest value is $34$. | 34
        = \operatorname{asinh}{\left(a \right)} | \sinh^{-1}(a)
        = \operatorname{arcosh} 2 | \ln(2+\sqrt3)
        = \operatorname{artanh}\frac12 | \frac12 \ln 3
        = f{\left(x \right)} | f(x)
        = f{\left(x,y \right)} | f(x, y)
        ! f(x,y) | f(y,x)
        = h_{\theta}{\left(x_{0},x_{1} \right)} | h_\theta(x_0, x_1)
        = x^{\left\{3+1\right\}} | x^4
        = \sin^{\frac{1}{y}}{\left(x \right)} | \sqrt[y]{\sin x}
        = \pi^{\left|{x y}\right|} | \pi^{|xy|}
        = \max\left(a, b, c\right) | \max(a,b,c)
        = a \bmod b | a \mod b
        = \int x\, dx | \int x dx
        = \lim_{x \to 3} a | \lim_{x\to 3} a
        = \frac{dy}{dx} = 2x | 2x
        ! \frac{d}{dx} x^2 | x
        = \overline{x} + \overline{y} | \overline{y}+\overline{x}
        ! \overline{z} | z
        = \left(x!\right)! | (x!)!
        = [a + b] | a+b
        = \infty\% | \infty
        = \begin{pmatrix}1&0\\0&1\end{pmatrix}\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&2\\3&4\end{pmatrix}
        = \begin{pmatrix}1&0\\0&1\end{pmatrix}+\begin{pmatrix}0&2\\3&3\end{pmatrix} | \begin{pmatrix}1&2\\3&4\end{pmatrix}
        = a^2+b^2=c^2 | c^2 = a^2 + b^2
        = a^2 + b^2 \ne 2c^2 | 2c^2 \neq b^2+a^2
        = \log_{a^2} x | \frac{\ln x}{2\ln a}
        = 1{,}500\times 10^{-1} | 150
        = \tan x | \frac{\sin x}{\cos x}
        = \arcsin x + \arccos x | \frac{\pi}{2}
        = \sec^2 x - \tan^2 x | 1
        = \ln\frac{x}{y} | \ln x - \ln y
        = \cosh^2 x - \sinh^2 x | 1
        = x^{\frac{2}{3}} | \sqrt[3]{x^2}
        = \sqrt[3]{x}^2 | x^{2/3}
        ! |x+1| | x+1
        ! |x-5| | x-5
        ! \sqrt{x^2+2x+1} | x+1
        ! \sqrt{(x-y)^2} | x-y
        = 0.\overline{3} | 0.3333333333
        = e^x+1 | 1+e^x
        = e^{x}-e^{-x} | 2\sinh x
        = 2^x 3^x | 6^x
        = \ln(x^2+1) | \ln(1+x^2)
        """;
}
